"""Background responses in tests: raw streams read to their events, and waiting that is bounded."""

import json

from stateful_stack import MODEL
from waiting import until

LIFECYCLE = ["response.created", "response.queued", "response.in_progress"]


def begin(http, **fields):
    """A background response, queued."""
    answer = http.post("/responses", json={"model": MODEL, "input": "hi", "background": True, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def retrieve(http, response_id):
    answer = http.get(f"/responses/{response_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def ended(http, response_id):
    """The response once it has ended."""

    def poll():
        response = retrieve(http, response_id)
        return response if response["status"] not in ("queued", "in_progress") else None

    return until(poll)


def stream(http, response_id, **query):
    """The bytes of the whole stream, once it has ended."""
    answer = http.get(f"/responses/{response_id}", params={"stream": "true", **query})
    assert answer.status_code == 200, answer.text
    return answer.content


def blocks_of(content):
    """The events of a stream as they were sent; comments are none."""
    return [block for block in content.split(b"\n\n") if block and not block.startswith(b":")]


def events_of(content):
    return [json.loads(block.partition(b"\ndata: ")[2]) for block in blocks_of(content)]


def follow(http, response_id, **query):
    """A context with an iterator over the events of a stream as they arrive."""
    return _Live(http.stream("GET", f"/responses/{response_id}", params={"stream": "true", **query}))


class _Live:
    def __init__(self, context):
        self._context = context

    def __enter__(self):
        answer = self._context.__enter__()
        return (json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: "))

    def __exit__(self, *error):
        return self._context.__exit__(*error)


def check(events):
    """Fail unless the events are one whole stream of a background response."""
    kinds = [event["type"] for event in events]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert kinds[:2] == LIFECYCLE[:2]
    assert [event["response"]["status"] for event in events[:2]] == ["queued", "queued"]
    assert kinds.count("response.in_progress") <= 1
    assert kinds.count("error") == kinds.count("response.failed")
