"""The soak finds what it looks for, and holds for some seconds. Half an hour of it is for `make soak`."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from bench import rows, soak
from bench.asking import Ledger, Story, allowed
from bench.faults import FAULTS, faulty
from bench.watch import Sample

ROOT = Path(__file__).parents[2]
SECONDS = 600.0


def sample(at, **changes):
    given = {"rss": 100_000_000, "descriptors": Counter(file=10, client=40), "sockets": Counter()}
    inside = {"tasks": Counter(serve=4), "threads": 6, "blocks": 400_000, "files": Counter(database=1 << 20)}
    return Sample(at=at, **(given | inside | changes))


def course(late=None, after=None, **changes):
    """A run in which nothing is wrong, but for what is said."""
    at_rest = {"descriptors": Counter(file=10)}
    samples = [sample(at * 5.0, **(late or {} if at >= 96 else {})) for at in range(120)]
    kept = {"rows_before": Counter(), "rows_after": Counter(responses=5, bytes=1 << 20), "left": Counter()}
    log = ["12:00:00 POST /v1/responses 200 completed model=paced", "12:00:01 purged 3 stored responses"]
    rest = sample(700.0, **(at_rest | (after or {})))
    given = {"before": sample(0.0, **at_rest), "samples": samples, "after": rest, "log": log, **kept}
    return soak.Course(SECONDS, **(given | changes))


def ledger(**changes):
    made = Ledger(**({"stored": 8, "uncertain": 2, "deleted": 0} | changes))
    made.note("stream", "burst", "completed")
    return made


def failed(found):
    return [each.what for each in found if not each.held]


def test_all_of_it_holds_where_nothing_is_wrong():
    assert failed(soak.checks(ledger(), course())) == []


PLANTED = {
    "memory": (course(late={"rss": 111_000_000}), "resident memory"),
    "blocks": (course(late={"blocks": 441_000}), "Python's allocated blocks"),
    "sockets that pile up": (course(late={"descriptors": Counter(client=53)}), "of them clients' sockets"),
    "tasks that pile up": (course(late={"tasks": Counter(serve=13)}), "tasks"),
    "threads that pile up": (course(late={"threads": 15}), "threads"),
    "a task too many": (course(after={"tasks": Counter(serve=4, lost=1)}), "tasks after the rest"),
    "a client's socket": (course(after={"descriptors": Counter(client=1)}), "client sockets left"),
    "an upstream's socket": (course(after={"descriptors": Counter(upstream=1)}), "upstream sockets left"),
    "a file": (course(after={"descriptors": Counter(file=19)}), "other descriptors"),
    "a child": (course(after={"children": 1}), "children"),
    "a warning": (course(log=["12:00:00 WARNING the store failed"]), "lines of the log"),
    "a traceback": (course(log=["    Traceback (most recent call last):"]), "lines of the log"),
    "a row that went": (course(rows_after=Counter(responses=4)), "responses and conversations"),
    "a row too many": (course(rows_after=Counter(responses=8)), "responses and conversations"),
    "a store too large": (course(rows_after=Counter(responses=5, bytes=1 << 26)), "bytes kept"),
    "a file too large": (course(left=Counter(database=1 << 26)), "bytes of the store's file at the end"),
    "a log left": (course(left=Counter(log=1)), "bytes of the store's log"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_leaks_is_found(name):
    seen, what = PLANTED[name]
    assert any(each.startswith(what) for each in failed(soak.checks(ledger(), seen)))


@pytest.mark.parametrize("what", rows.NONE_AT_REST)
def test_rows_that_must_not_be_are_found(what):
    seen = course(rows_after=Counter({"responses": 5, what: 1}))
    assert failed(soak.checks(ledger(), seen)) == [what]


def test_growth_is_not_judged_in_a_run_that_is_too_short_for_it():
    short = course(late={"rss": 200_000_000})
    short.seconds = 60.0
    assert failed(soak.checks(ledger(), short)) == []


# -- requests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["stream", "whole", "background", "websocket", "chat"])
@pytest.mark.parametrize("model", FAULTS)
def test_every_fault_has_its_ends_and_no_other_one_is_let_pass(how, model):
    assert faulty(model).then in ("keep", "close", "reset", "hang")
    words = allowed(how, model)
    assert words
    made = Ledger()
    for word in (*words, "500 oops"):
        made.note(how, model, word)
    assert made.wrong == {f"{how} {model}: 500 oops": 1}


def told(*events):
    made = Ledger()
    story = Story(made)
    for event in events:
        story.take(event)
    return story, made.wrong.total()


def event(number, kind="response.output_text.delta", **response):
    more = {"response": {"id": "resp_1", "status": kind.removeprefix("response.")} | response}
    return {"type": kind, "sequence_number": number} | (more if response or "text" not in kind else {})


FIRST, SECOND, LAST = event(0, "response.created"), event(1), event(2, "response.completed")


def test_a_whole_story_is_good():
    story, wrong = told(FIRST, SECOND, LAST)
    assert (story.word, story.id, wrong) == ("completed", "resp_1", 0)


@pytest.mark.parametrize(
    "events",
    [
        (FIRST, LAST),
        (FIRST, SECOND, SECOND),
        (FIRST, SECOND, LAST, event(3)),
        (FIRST, SECOND, event(2, "response.completed", id="resp_2")),
        (FIRST, SECOND, event(2, "response.failed", status="in_progress")),
    ],
    ids=["a gap", "a number twice", "words after the end", "another response", "an end that is none"],
)
def test_a_story_with_a_flaw_is_found_out(events):
    assert told(*events)[1] == 1


def test_a_story_without_an_end_is_cut_short():
    assert told(FIRST, SECOND)[0].word == "cut short"


# -- the whole ---------------------------------------------------------------------------------------------------


def test_a_few_seconds_of_everything_hold():
    few = ["--minutes", "0.05", "--clients", "6", "--pause", "0.1", "--dry"]
    done = subprocess.run(
        [sys.executable, "-m", "bench.soak", *few],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All of it held." in done.stdout
