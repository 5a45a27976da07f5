"""What a connection remembers stays within its limits."""

from shim.exchange.connection import LocalTurns

PLENTY = 1 << 20


def items(text):
    return ({"type": "message", "content": text},)


def test_the_oldest_turns_are_forgotten_first():
    turns = LocalTurns(most_turns=2, most_bytes=PLENTY)
    for name in "abc":
        turns.keep(name, items(name))
    assert dict(turns) == {"b": items("b"), "c": items("c")}


def test_bytes_are_bounded_too():
    turns = LocalTurns(PLENTY, most_bytes=1_000)
    turns.keep("a", items("x" * 600))
    turns.keep("b", items("y" * 600))
    assert list(turns) == ["b"]
    assert 600 < turns.size <= 1_000


def test_a_turn_beyond_every_limit_is_not_remembered():
    turns = LocalTurns(PLENTY, most_bytes=100)
    turns.keep("a", items("x" * 200))
    assert (len(turns), turns.size) == (0, 0)


def test_a_turn_can_be_forgotten_twice():
    turns = LocalTurns(PLENTY, PLENTY)
    turns.keep("a", items("x"))
    turns.evict("a")
    turns.evict("a")
    assert (len(turns), turns.size) == (0, 0)
