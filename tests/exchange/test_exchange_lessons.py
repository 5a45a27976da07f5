"""What estimates were worth is learned once a second for each instrument, however many names clients make up."""

import sys

from shim.exchange.keeping import MOST_REMEMBERED, Lessons
from shim.exchange.turn import learn_nothing

CHAT = {"messages": []}


def test_an_instrument_has_one_lesson_a_second():
    lessons = Lessons(store=None)
    learns = [lessons.on(name, CHAT) is not learn_nothing for name in ("a", "a", "b", "a")]
    assert learns == [True, False, True, False]


def test_made_up_names_take_no_more_and_more_room():
    lessons = Lessons(store=None)
    for number in range(3 * MOST_REMEMBERED):
        assert lessons.on(f"made-up-{number}", CHAT) is not learn_nothing
        assert len(lessons.last) <= MOST_REMEMBERED


def test_a_long_made_up_name_takes_no_more_room_than_a_short_one():
    lessons = Lessons(store=None)
    name = "made-up" * 10_000
    assert lessons.on(name, CHAT) is not learn_nothing
    assert lessons.on(name, CHAT) is learn_nothing
    assert sum(map(sys.getsizeof, lessons.last)) < 100
