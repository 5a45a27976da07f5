"""What was said, written as a chat completion or as chunks, the way a given supplier writes it.

In: `Said` and a `Dialect`. Out: JSON objects, and the bytes of an event stream. Knows nothing of requests,
connections or pauses.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from shim.simulator.tokens import grouped, logprob, split_arguments, split_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shim.simulator.config import Dialect, JsonObject


@dataclass(frozen=True, kw_only=True)
class SaidCall:
    """A tool call as it goes on the wire: `arguments` is a string, the id is settled."""

    id: str
    name: str
    arguments: str

    def whole(self) -> JsonObject:
        """The call as an element of `message.tool_calls`."""
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        }


@dataclass(frozen=True, kw_only=True)
class Said:
    """One answer of the model, complete and independent of any wire form.

    Attributes:
        id: The completion's id.
        created: Unix time in seconds.
        model: The model that served it.
        finish_reason: None where the supplier never gives one.
        usage: The usage object.
        include_usage: Whether the request asked a stream for it.
        top_logprobs: Candidates per token, or None where no log probabilities were asked for.
    """

    id: str
    created: int
    model: str
    reasoning: str
    text: str
    refusal: str
    calls: tuple[SaidCall, ...]
    finish_reason: str | None
    usage: JsonObject
    include_usage: bool
    top_logprobs: int | None


@dataclass(frozen=True)
class _Piece:
    """One delta, and the tokens it needs log probabilities for."""

    delta: JsonObject
    tokens: list[str] = field(default_factory=list)


def completion(said: Said, dialect: Dialect) -> JsonObject:
    """The answer as one chat completion, for a request that does not stream."""
    choice = {"index": 0, "message": _message(said, dialect), "finish_reason": said.finish_reason}
    if said.top_logprobs is not None and dialect.logprobs:
        choice["logprobs"] = _logprobs(split_text(said.text), said.top_logprobs)
    usage = {} if dialect.usage == "none" else {"usage": said.usage}
    return {**_head(said, "chat.completion"), "choices": [choice], **usage}


def _message(said: Said, dialect: Dialect) -> JsonObject:
    message: JsonObject = {"role": "assistant", "content": _content(said, dialect) or None}
    if said.reasoning and dialect.reasoning_field in ("reasoning_content", "reasoning"):
        message[dialect.reasoning_field] = said.reasoning
    if said.refusal:
        message["refusal"] = said.refusal
    if said.calls:
        message["tool_calls"] = [call.whole() for call in said.calls]
    return message


def chunks(said: Said, dialect: Dialect) -> list[JsonObject]:
    """The answer as chat completion chunks, in the order in which they are sent."""
    pieces = _pieces(said, dialect)
    made = [_chunk(said, dialect, piece) for piece in pieces]
    _finish(made, said, dialect)
    return list(_with_usage(made, said, dialect))


def frames(made: list[JsonObject], dialect: Dialect) -> list[bytes]:
    """The chunks as server-sent events, cut short or ended in an error where the dialect says so.

    One frame per chunk, its heartbeat included; the error or `[DONE]` is one more.
    """
    sent = made if dialect.cut_after is None else made[: dialect.cut_after]
    if dialect.error_in_stream is not None:
        until = len(sent) if dialect.cut_after is not None else _finish_place(sent)
        return [*(_frame(chunk, dialect) for chunk in sent[:until]), _event(dialect.error_in_stream, dialect)]
    done = [_event("[DONE]", dialect)] if dialect.done_marker and dialect.cut_after is None else []
    return [*(_frame(chunk, dialect) for chunk in sent), *done]


def _finish_place(made: list[JsonObject]) -> int:
    places = (i for i, chunk in enumerate(made) if any(c.get("finish_reason") for c in chunk["choices"]))
    return next(places, len(made))


def _head(said: Said, kind: str) -> JsonObject:
    return {"id": said.id, "object": kind, "created": said.created, "model": said.model}


def _content(said: Said, dialect: Dialect) -> str:
    if said.reasoning and dialect.reasoning_field == "think":
        return f"<think>\n{said.reasoning}\n</think>\n\n{said.text}"
    return said.text


def _pieces(said: Said, dialect: Dialect) -> list[_Piece]:
    body = [
        *_reasoning_pieces(said, dialect),
        *_content_pieces(said, dialect),
        *(_Piece({"refusal": text}) for text in _cut(said.refusal, dialect)),
        *(_Piece({"tool_calls": deltas}) for deltas in _call_deltas(said.calls, dialect)),
    ]
    opening: JsonObject = {"role": "assistant", "content": None if dialect.null_content else ""}
    if dialect.first_role_chunk or not body:
        return [_Piece(opening), *body]
    first = {"role": "assistant", **({"content": None} if dialect.null_content else {}), **body[0].delta}
    return [_Piece(first, body[0].tokens), *body[1:]]


def _reasoning_pieces(said: Said, dialect: Dialect) -> Iterator[_Piece]:
    if dialect.reasoning_field in ("reasoning_content", "reasoning"):
        for text in _cut(said.reasoning, dialect):
            yield _Piece({dialect.reasoning_field: text})


def _content_pieces(said: Said, dialect: Dialect) -> Iterator[_Piece]:
    for text in _cut(_content(said, dialect), dialect):
        yield _Piece({"content": text}, split_text(text))


def _cut(text: str, dialect: Dialect) -> list[str]:
    units = list(text) if dialect.split == "characters" else split_text(text)
    return grouped(units, dialect.units_per_chunk)


def _call_deltas(calls: tuple[SaidCall, ...], dialect: Dialect) -> Iterable[list[JsonObject]]:
    tracks = [list(_one_call(call, index, dialect)) for index, call in enumerate(calls)]
    if dialect.calls_interleaved:
        in_turn = chain.from_iterable(zip_longest(*tracks))
        return [[delta] for delta in in_turn if delta is not None]
    return [[delta] for track in tracks for delta in track]


def _one_call(call: SaidCall, index: int, dialect: Dialect) -> Iterator[JsonObject]:
    place = {"present": {"index": index}, "missing": {}, "zero": {"index": 0}}[dialect.call_index]
    pieces = [call.arguments] if dialect.call_chunks == "whole" else ["", *split_arguments(call.arguments)]
    opening_id = {} if dialect.call_ids == "missing" else {"id": call.id}
    opening = {"name": call.name, "arguments": pieces[0]}
    yield {**place, **opening_id, "type": "function", "function": opening}
    for piece in pieces[1:]:
        yield {**place, **_later_id(call, dialect), "function": _later_function(call, piece, dialect)}


def _later_id(call: SaidCall, dialect: Dialect) -> JsonObject:
    later: dict[str, JsonObject] = {"repeated": {"id": call.id}, "blank": {"id": ""}}
    return later.get(dialect.call_ids, {})


def _later_function(call: SaidCall, piece: str, dialect: Dialect) -> JsonObject:
    later: dict[str, JsonObject] = {
        "repeated": {"name": call.name},
        "blank": {"name": ""},
        "null": {"name": None},
    }
    return {**later.get(dialect.call_names, {}), "arguments": piece}


def _chunk(said: Said, dialect: Dialect, piece: _Piece) -> JsonObject:
    choice: JsonObject = {"index": 0, "delta": piece.delta}
    if said.top_logprobs is not None and dialect.logprobs and piece.tokens:
        choice["logprobs"] = _logprobs(piece.tokens, said.top_logprobs)
    if dialect.finish_reason_key:
        choice["finish_reason"] = None
    return {**_head(said, "chat.completion.chunk"), "choices": [choice]}


def _logprobs(tokens: list[str], top: int) -> JsonObject:
    return {"content": [logprob(token, top) for token in tokens], "refusal": None}


def _finish(made: list[JsonObject], said: Said, dialect: Dialect) -> None:
    """Give the finish reason, on a chunk of its own or on the last one."""
    if said.finish_reason is None:
        return
    if dialect.finish_alone:
        made.append(_chunk(said, dialect, _Piece({})))
    made[-1]["choices"][0]["finish_reason"] = said.finish_reason


def _with_usage(made: list[JsonObject], said: Said, dialect: Dialect) -> Iterator[JsonObject]:
    if not said.include_usage or dialect.usage == "none":
        yield from made
    elif dialect.usage == "every":
        yield from ({**chunk, "usage": said.usage} for chunk in made)
    elif dialect.usage == "finish":
        yield from made[:-1]
        yield {**made[-1], "usage": said.usage}
    else:
        yield from ({**chunk, "usage": None} for chunk in made)
        yield {**_head(said, "chat.completion.chunk"), "choices": [], "usage": said.usage}


def _frame(chunk: JsonObject, dialect: Dialect) -> bytes:
    return _heartbeat(chunk, dialect) + _event(chunk, dialect)


def _heartbeat(chunk: JsonObject, dialect: Dialect) -> bytes:
    if dialect.heartbeats == "comments":
        return b": keep-alive" + _line_end(dialect) * 2
    if dialect.heartbeats == "chunks":
        bare = {key: value for key, value in chunk.items() if key != "usage"}
        return _event({**bare, "choices": [{"index": 0, "delta": {}}]}, dialect)
    return b""


def _event(data: Any, dialect: Dialect) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return b"data: " + text.encode("utf-8", "surrogatepass") + _line_end(dialect) * 2


def _line_end(dialect: Dialect) -> bytes:
    return b"\r\n" if dialect.crlf else b"\n"
