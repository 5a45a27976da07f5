"""What a request relies on the server to remember, looked up and put into the conversation.

`previous_response_id` brings the items of every earlier turn, `conversation` those of the conversation, an
`item_reference` one item. Instructions are not inherited. What is not found is a clear 400, never a silent gap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from pydantic import ConfigDict, TypeAdapter
from pydantic_core import from_json

from shim.core.compaction import COMPACTIONS, since_compaction
from shim.core.source import Source
from shim.errors import ClientFault, invalid
from shim.store import ResponseStore
from shim.store.records import UNBOUNDED, ChainTurn, TooMuch
from shim.wire.base import Json
from shim.wire.items import InputItem

_ITEMS: TypeAdapter[list[InputItem]] = TypeAdapter(
    list[InputItem],
    config=ConfigDict(hide_input_in_errors=True),  # what is stored belongs in no log
)

ID_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "reasoning": "rs",
    "local_shell_call": "lsh",
    "local_shell_call_output": "lsho",
    "shell_call": "sh",
    "shell_call_output": "sho",
    "apply_patch_call": "apc",
    "apply_patch_call_output": "apco",
    "tool_search_call": "tsc",
    "tool_search_output": "tso",
    "compaction": "cmp",
    "agent_message": "amsg",
    "additional_tools": "at",
}
"""The prefixes of the ids that items get which come without one."""

HAVE_STATUS = frozenset({"message"}) | {kind for kind in ID_PREFIXES if kind.endswith(("_call", "_output"))}
"""Types of items that the API lists with a status."""


@dataclass(slots=True)
class Once:
    """Makes items when they are first asked for. As `functools.cache`, which costs more than most calls of it save."""

    make: Callable[[], tuple[Json, ...]]
    made: tuple[Json, ...] | None = None

    def __call__(self) -> tuple[Json, ...]:
        """The items, the same ones each time."""
        if self.made is None:
            self.made = self.make()
        return self.made


class Recalled(NamedTuple):
    """A request whose references are resolved.

    Attributes:
        body: The request's body; `input` holds this turn's own items, references replaced. The very body that was
            given if nothing in it had to be replaced.
        earlier: The items of earlier turns as they are stored, oldest first.
        history: The same, checked.
        identified: Makes `own`, once; most turns are not kept, and need it not.
        conversation: The conversation that the turn belongs to.
        unstored: Whether the earlier items are in no store, only on the caller's connection.
    """

    body: Json
    earlier: tuple[Json, ...] = ()
    history: tuple[InputItem, ...] = ()
    identified: Callable[[], tuple[Json, ...]] = tuple
    conversation: str | None = None
    notes: tuple[str, ...] = ()
    unstored: bool = False

    @property
    def own(self) -> tuple[Json, ...]:
        """This turn's own items with their ids, as they are stored."""
        return self.identified()

    @property
    def whole(self) -> tuple[Json, ...]:
        """Earlier items and this turn's own, oldest first."""
        return (*self.earlier, *self.own)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back a request may go.

    Attributes:
        longest_chain: Responses that one may continue, one after the other.
        most_bytes: Bytes of items that one field may bring.
    """

    longest_chain: int
    most_bytes: int


class Recall:
    """Looks things up for one owner. `local` holds turns that live on a connection and in no store."""

    def __init__(
        self,
        store: ResponseStore,
        owner: str,
        source: Source,
        reach: Reach,
        local: Mapping[str, Sequence[Json]] | None = None,
    ) -> None:
        """Prepare to look things up.

        Args:
            store: Where they are.
            owner: Whose they are.
            source: Of ids for items that have none.
            reach: How far back a request may go.
            local: Earlier turns that live on the caller's connection.
        """
        self._most_bytes = min(reach.most_bytes, UNBOUNDED)
        self._longest_chain = reach.longest_chain
        self._store = store
        self._owner = owner
        self._source = source
        self._local = local or {}
        self._notes: list[str] = []

    async def recall(self, body: Json) -> Recalled:
        """Resolve every reference of a request body.

        Raises:
            ClientFault: Something that is referred to is not there, with the path of the field.
            StoreFault: The store is away.
        """
        previous, conversation = _string(body, "previous_response_id"), _conversation(body)
        if previous and conversation:
            message = "'previous_response_id' and 'conversation' cannot be used together."
            raise invalid(message, "previous_response_id", "mutually_exclusive_parameters")
        whole, earlier = await self._earlier(previous, conversation) if previous or conversation else ((), ())
        given = _listed(body.get("input"))
        fresh, notes = _without_repeats(whole, await self.dereferenced(given))
        shown = _managed(body, fresh)
        resolved = body if shown is given else {**body, "input": shown}
        own = Once(partial(self._identified_all, whole, fresh))
        notes = (*self._notes, *notes)
        return Recalled(
            resolved,
            tuple(earlier),
            _checked(earlier),
            own,
            conversation,
            notes,
            unstored=previous in self._local,
        )

    async def conversation(self, conversation_id: str) -> tuple[tuple[Json, ...], tuple[InputItem, ...]]:
        """What a conversation holds: as stored, from its last compaction on, and the same checked."""
        earlier = since_compaction(await self._conversation_items(conversation_id))
        return tuple(earlier), _checked(earlier)

    async def _earlier(
        self, previous: str | None, conversation: str | None
    ) -> tuple[Sequence[Json], Sequence[Json]]:
        """The items of earlier turns, and those of them that no compaction stands for."""
        if previous and previous not in self._local:
            turns = await self._turns(previous)
            return [item for turn in turns for item in turn], _chain_since_compaction(turns)
        whole: Sequence[Json] = ()
        if previous:
            whole = self._local[previous]
        elif conversation:
            whole = await self._conversation_items(conversation)
        return whole, since_compaction(whole)

    async def _turns(self, response_id: str) -> list[list[Json]]:
        """The items of each turn, its input and its output in turn; first what its conversation held before."""
        chain = await self._chain(response_id)
        turns = [[from_json(item) for item in items] for turn in chain for items in (turn.input, turn.output)]
        if conversation := chain[0].conversation_id:
            weight = sum(len(item) for turn in chain for item in (*turn.input, *turn.output))
            turns[0] = [*await self._before(conversation, chain[0].id, weight), *turns[0]]
        return turns

    async def _before(self, conversation: str, turn: str, weight: int) -> list[Json]:
        """What a conversation held before one of its turns; those since have so many bytes already."""
        left = self._most_bytes - weight
        try:
            held = await self._store.conversations.history(self._owner, conversation, left, before=turn)
        except TooMuch:
            raise self._too_large("previous_response_id") from None
        if held is None:
            self._notes.append(
                f"previous_response_id: what conversation {conversation!r} held before it is not stored any more"
            )
            return []
        return [from_json(item) for item in held]

    async def _chain(self, response_id: str) -> tuple[ChainTurn, ...]:
        """The turns up to one, oldest first; all of them, and the last one fit to be continued."""
        longest, most = self._longest_chain, self._most_bytes
        try:
            chain = await self._store.responses.chain(self._owner, response_id, longest, most)
        except TooMuch:
            raise self._too_large("previous_response_id") from None
        if chain is None:
            message = f"Previous response with id '{response_id}' not found."
            raise invalid(message, "previous_response_id", "previous_response_not_found")
        if chain.missing and len(chain.turns) == self._longest_chain:
            message = (
                f"'{response_id}' continues more than {self._longest_chain} responses, the most that one may continue: "
                "send a compacted conversation as 'input' in place of 'previous_response_id'."
            )
            raise invalid(message, "previous_response_id", "previous_response_chain_too_long")
        if chain.missing:
            message = f"Response '{chain.missing}', which '{response_id}' continues, is not stored any more."
            raise invalid(message, "previous_response_id", "previous_response_not_found")
        if chain.turns[-1].status not in ("completed", "incomplete"):
            message = (
                f"Previous response '{response_id}' is {chain.turns[-1].status} and cannot be continued."
            )
            raise invalid(message, "previous_response_id", "previous_response_not_completed")
        return chain.turns

    async def _conversation_items(self, conversation_id: str) -> list[Json]:
        try:
            held = await self._store.conversations.history(self._owner, conversation_id, self._most_bytes)
        except TooMuch:
            raise self._too_large("conversation") from None
        if held is None:
            message = f"Conversation with id '{conversation_id}' not found."
            raise ClientFault(message, status=404, param="conversation")
        return [from_json(item) for item in held]

    async def dereferenced(self, given: list[Any], name: str = "input") -> list[Any]:
        """The same items, references replaced by what they refer to.

        Raises:
            ClientFault: What is referred to is not there.
        """
        wanted = {item["id"]: index for index, item in enumerate(given) if _is_reference(item)}
        if not wanted:
            return given
        named = [item["id"] for item in given if _is_reference(item)]
        try:
            found = await self._store.responses.items_by_id(self._owner, named, self._most_bytes)
        except TooMuch:
            raise self._too_large(name) from None
        for item_id, index in wanted.items():
            if item_id not in found:
                message = f"Item with id '{item_id}' not found."
                raise ClientFault(message, status=404, param=f"{name}[{index}].id")
        return [from_json(found[item["id"]]) if _is_reference(item) else item for item in given]

    def _too_large(self, name: str) -> ClientFault:
        """What refuses too much, with the field that brings it."""
        message = (
            f"What '{name}' refers to is too large: it may have {self._most_bytes:,} bytes; "
            "send a compacted conversation in its place."
        )
        return invalid(message, name, "history_too_large")

    def _identified_all(self, earlier: Sequence[Json], given: Sequence[Any]) -> tuple[Any, ...]:
        """This turn's items with ids that no other item of the conversation has."""
        taken = {item.get("id") for item in earlier}
        own = []
        for item in given:
            if isinstance(item, dict) and isinstance(item.get("id"), str) and item["id"] in taken:
                item = {**item, "id": None}  # noqa: PLW2901 -- the same item under a new id
            own.append(self.identified(item))
            taken.add(own[-1].get("id") if isinstance(own[-1], dict) else None)
        return tuple(own)

    def identified(self, item: Json) -> Json:
        """An item as it is stored and listed: with its type, a status where it has one, and an id of its own."""
        if not isinstance(item, dict):
            return item
        kind = item.get("type")
        if kind is None:
            kind = "message" if "role" in item else "function_call_output"
        item_id = item.get("id")
        if not (isinstance(item_id, str) and item_id):
            item_id = self._source.new_id(ID_PREFIXES.get(kind, "item"))
        item = {**item, "id": item_id, "type": kind}
        if kind in HAVE_STATUS and item.get("status") is None:
            item["status"] = "completed"
        return {**item, "content": _listed_content(item)} if kind == "message" else item


def _listed_content(message: Json) -> Any:
    """A message's content as the API lists it, in parts."""
    content = message.get("content")
    if not isinstance(content, str):
        return content
    if message.get("role") != "assistant":
        return [{"type": "input_text", "text": content}]
    return [{"type": "output_text", "annotations": [], "logprobs": [], "text": content}]


def _listed(given: Any) -> list[Any]:
    """An input that passed validation, as a list of items."""
    if isinstance(given, str):
        text = {"type": "input_text", "text": given}
        return [{"type": "message", "role": "user", "content": [text]}]
    return given or []


def _managed(body: Json, given: list[Json]) -> list[Json]:
    """The input as it is answered: who lets the context be managed may send what was compacted before."""
    return since_compaction(given) if body.get("context_management") else given


def _chain_since_compaction(turns: Sequence[Sequence[Json]]) -> list[Json]:
    """The items of a chain. A compaction that the shim itself put out answers all that was before it."""
    made = max((index for index, items in enumerate(turns) if index % 2 and _compacts(items)), default=None)
    if made is None:
        return since_compaction([item for items in turns for item in items])
    whole = [item for items in turns[: made + 1] for item in items]
    after = [item for items in turns[made + 1 :] for item in items]
    return since_compaction([*since_compaction(whole, answered=True), *after])


def _compacts(items: Sequence[Json]) -> bool:
    return any(item.get("type") in COMPACTIONS for item in items)


def _checked(items: Sequence[Json]) -> tuple[InputItem, ...]:
    return tuple(_ITEMS.validate_python(list(items))) if items else ()


def _without_repeats(earlier: Sequence[Json], given: list[Any]) -> tuple[list[Any], tuple[str, ...]]:
    """This turn's items without those that the history has: some clients send the whole turn again."""
    if not earlier:
        return given, ()
    told = {key: _essence(item) for item in earlier for key in _keys(item)}
    fresh, notes = [], []
    for index, item in enumerate(given):
        if isinstance(item, dict) and any(told.get(key) == _essence(item) for key in _keys(item)):
            notes.append(f"input[{index}]: already stored, sent once")
        else:
            fresh.append(item)
    return fresh, tuple(notes)


def _keys(item: Json) -> list[tuple[str, str]]:
    """What an item is known by: its id, and for a call its call id."""
    kind, names = item.get("type"), ["id"]
    if isinstance(kind, str) and kind.endswith("_call"):
        names.append("call_id")
    return [(name, item[name]) for name in names if isinstance(item.get(name), str)]


_CALLED = ("name", "namespace", "arguments", "input", "action", "operation")


def _essence(item: Json) -> Any:
    """What an item says, however much of its trappings a client sends back."""
    kind = item.get("type") or "message"
    if kind == "message":
        content = item.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        return item.get("role"), [_said(part) for part in parts]
    if kind == "reasoning":
        return kind  # its id is enough: clients send back more or less of it
    if isinstance(kind, str) and kind.endswith("_call"):
        return kind, [item.get(name) for name in _CALLED]
    return {name: value for name, value in item.items() if name not in ("id", "status")}


def _said(part: Any) -> Any:
    """The text of a part, or the part itself."""
    if not isinstance(part, dict):
        return part
    return part.get("text") or part.get("refusal") or part


def _is_reference(item: Any) -> bool:
    """Whether it is read as a reference: by its type, or since there is nothing else that it can be."""
    if not isinstance(item, dict) or not isinstance(item.get("id"), str):
        return False
    kind = item.get("type")
    return kind == "item_reference" or (kind is None and not {"role", "output"} & item.keys())


def _string(body: Json, name: str) -> str | None:
    value = body.get(name)
    if value == "":
        raise invalid(f"'{name}' is empty; leave it out to begin anew.", name, "invalid_value")
    return value if isinstance(value, str) else None


def _conversation(body: Json) -> str | None:
    """`conversation` is an id or an object with one."""
    value = body.get("conversation")
    if value is None:
        return None
    conversation_id = value.get("id") if isinstance(value, dict) else value
    if not isinstance(conversation_id, str):
        raise invalid(
            "'conversation' must be an id, or an object with an 'id'.", "conversation", "invalid_type"
        )
    return conversation_id
