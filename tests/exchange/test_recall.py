"""What a request brings is stored so that it is read again as what it was."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from shim.ambient import Ambient
from shim.core.validation import read_request
from shim.errors import ClientFault
from shim.exchange.recall import ID_PREFIXES, Reach, Recall, _checked
from shim.settings import Settings
from shim.store import open_store
from shim.wire.items import ItemReference

WITHIN = Reach(longest_chain=10, most_bytes=1 << 20)

odd = st.sampled_from([None, "", "x", 0, True, [], {}, [{"type": "input_text", "text": "a"}], ["ls"]])
names = (
    "role",
    "content",
    "id",
    "status",
    "call_id",
    "name",
    "arguments",
    "input",
    "output",
    "summary",
    "action",
)
bases = st.sampled_from(
    [
        {"role": "user", "content": "a"},
        {"call_id": "c", "output": "o"},
        {"call_id": "c", "name": "n", "arguments": "{}", "input": ""},
        {"summary": [], "encrypted_content": "x"},
        {"tools": []},
    ]
)
kinds = st.sampled_from(["", "weird", "web_search_call", "compaction_trigger", *ID_PREFIXES]) | odd
items = st.builds(
    lambda base, kind, more: {**base, **({"type": kind} if kind != "x" else {}), **more},
    bases,
    kinds,
    st.dictionaries(st.sampled_from(names), odd, max_size=3),
)


def stored(item):
    """An item as it comes back from the store."""
    recall = Recall(None, "alice", Ambient(), WITHIN)
    return from_json(to_json(recall.identified(item)))


@given(items)
@example({"type": "", "call_id": "c"})
@example({"type": "", "role": "user"})
@example({"role": "user", "content": "a"})
@example({"call_id": "c", "output": "o"})
@example({"role": "user", "content": "a", "type": None})
def test_an_item_that_was_accepted_is_read_from_the_store_as_what_it_was(item):
    try:
        (accepted,) = read_request({"model": "m", "input": [item]}).input
    except ClientFault:
        assume(False)
    assume(not isinstance(accepted, ItemReference))  # what it refers to is stored in its place
    kept = stored(item)
    (read,) = _checked([kept])
    assert type(read) is type(accepted)
    assert kept["id"]
    assert kept["id"] == (
        item.get("id") if isinstance(item.get("id"), str) and item.get("id") else kept["id"]
    )


@pytest.mark.parametrize("further", [{}, {"role": "user"}, {"output": "x"}])
async def test_a_reference_by_its_type_is_one_whatever_else_it_says(further):
    store = await open_store(Settings(store="memory"))
    recall = Recall(store, "alice", Ambient(), WITHIN)
    with pytest.raises(ClientFault) as caught:
        await recall.dereferenced([{"type": "item_reference", "id": "msg_1", **further}])
    assert (caught.value.status, caught.value.param) == (404, "input[0].id")
    await store.aclose()
