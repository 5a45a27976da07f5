"""Records to store."""

from shim.store.records import Conversation, Item, ResponseRecord, StoredEvent

NOW = 1_800_000_000
DAY = 24 * 60 * 60


def item(name, text="hello"):
    return Item(name, b'{"id": "%s",  "text": "%s"}' % (name.encode(), text.encode()))


def items(*names):
    return tuple(map(item, names))


def record(name="resp_1", owner="alice", **changes):
    given = {
        "owner": owner,
        "id": name,
        "created_at": NOW,
        "status": "completed",
        "model": "gpt-5",
        "served_model": "code-max",
        "envelope": b'{"id": "%s",  "tools": []}' % name.encode(),
        "input": items(f"{name}_in"),
        "output": items(f"{name}_out"),
    }
    return ResponseRecord(**(given | changes))


def conversation(name="conv_1", owner="alice", **changes):
    return Conversation(**({"owner": owner, "id": name, "created_at": NOW} | changes))


def events(first, last):
    return [StoredEvent(number, b'{"sequence_number": %d}' % number) for number in range(first, last + 1)]
