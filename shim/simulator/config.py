"""What a simulated Grid is told: its keys, its faults, its manners, and what its model says.

Data only. What the words mean is in `dialect` (chunks on the wire), `strictness` (refusals), `model` (answers
that nobody scripted) and `app` (routing).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

JsonObject = dict[str, Any]

Envelope = Literal["grid", "openai", "plain", "html"]
Hop = Literal["front", "supplier"]
Wording = Literal["openai", "vllm", "llama_cpp", "anthropic", "gemini", "openrouter", "moonshot", "plain"]

DEFAULT_KEY = "consumption-key"


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How a supplier writes its chunks; the defaults are OpenAI's own habits plus `reasoning_content`.

    Attributes:
        reasoning_field: Where reasoning appears; `think` is tagged text at the front of the content, `none`
            hides it (it is still billed).
        usage: Where a stream reports usage, when `stream_options.include_usage` asks for it.
        call_index: `index` of tool-call deltas; `zero` numbers every call 0.
        call_names: What later deltas of a call hold in `function.name`.
        call_ids: What later deltas of a call hold in `id`; `missing` means no delta has one.
        call_chunks: Arguments in small pieces, or the whole call in one delta.
        calls_interleaved: Whether parallel calls send their pieces in turn.
        done_marker: Whether the stream ends with `data: [DONE]`.
        finish_reason_key: False leaves the key out until the last chunk.
        finish_alone: False lets the finish reason ride on the last content chunk.
        first_role_chunk: False lets the role ride on the first content chunk.
        null_content: Whether the first delta says `"content": null`.
        heartbeats: SSE comments, or chunks with an empty delta, before every chunk.
        crlf: Whether SSE lines end with CR LF.
        ignores_stream: Whether `stream: true` is answered with a JSON completion.
        bare_id: Whether the completion's id is a bare uuid instead of `chatcmpl-...`.
        split: The unit that text is cut into.
        units_per_chunk: How many units one chunk holds.
        bytes_per_write: Cut the event stream into writes of so many bytes; 0 writes one event at a time.
        logprobs: Whether `logprobs: true` is answered.
        error_in_stream: Sent as a chunk in place of everything after `cut_after` (or of the finish), after
            which the body ends. A string is sent as it is.
        cut_after: How many chunks are sent before the stream is cut, without a finish reason.
        cut: `abrupt` closes the connection inside the body; `clean` ends the body as if all were well.
        headers_late: Seconds before the response's headers.
        first_chunk_late: Seconds between the headers and the first chunk.
        chunk_pause: Seconds before each further chunk.
    """

    reasoning_field: Literal["reasoning_content", "reasoning", "think", "none"] = "reasoning_content"
    usage: Literal["separate", "finish", "every", "none"] = "separate"
    call_index: Literal["present", "missing", "zero"] = "present"
    call_names: Literal["once", "repeated", "blank", "null"] = "once"
    call_ids: Literal["once", "repeated", "blank", "missing"] = "once"
    call_chunks: Literal["pieces", "whole"] = "pieces"
    calls_interleaved: bool = False
    done_marker: bool = True
    finish_reason_key: bool = True
    finish_alone: bool = True
    first_role_chunk: bool = True
    null_content: bool = False
    heartbeats: Literal["none", "comments", "chunks"] = "none"
    crlf: bool = False
    ignores_stream: bool = False
    bare_id: bool = False
    split: Literal["tokens", "characters"] = "tokens"
    units_per_chunk: int = 1
    bytes_per_write: int = 0
    logprobs: bool = True
    error_in_stream: JsonObject | str | None = None
    cut_after: int | None = None
    cut: Literal["abrupt", "clean"] = "abrupt"
    headers_late: float = 0
    first_chunk_late: float = 0
    chunk_pause: float = 0


@dataclass(frozen=True)
class Call:
    """A tool call that the model makes.

    Attributes:
        name: The function's name.
        arguments: An object, or the exact string to send.
        id: The call id; None lets the simulator count one up.
    """

    name: str
    arguments: str | JsonObject = field(default_factory=dict)
    id: str | None = None


@dataclass(frozen=True)
class Hold:
    """A gate in a stream, for tests that need to act while a response is under way.

    Attributes:
        after: Chunks sent before the gate; None stands for a gate before the headers.
        released: Set it to let the stream go on.
    """

    after: int | None = 0
    released: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What the model says to one accepted request, or how the supplier fails it.

    Attributes:
        reasoning: Reasoning text before the answer.
        text: The answer.
        refusal: A refusal, in place of or after the answer.
        calls: Tool calls, in order.
        finish_reason: None derives it: `tool_calls` with calls, else `stop`, or `length` when
            `max_completion_tokens` cut the turn short.
        finish: False leaves the finish reason out although the stream ends in good order.
        usage: Replaces the counted usage.
        model: Replaces the name of the served model.
        cut_after: Replaces the dialect's.
        error_in_stream: Replaces the dialect's.
        status: HTTP status; anything but 200 is an error answer.
        body: A raw body in place of a completion, whatever the status: JSON for an object or list, bytes and
            strings as they are. None leaves an error to the configured envelope.
        headers: Headers added to the answer.
        delay: Seconds before the headers, on top of the dialect's.
        hold: A gate in the stream.
        reset: Whether the connection is reset before any header.
        dialect: Replaces the configured dialect for this turn.
        respond: Decides the turn from the request; every other field is then ignored.
    """

    reasoning: str = ""
    text: str = ""
    refusal: str = ""
    calls: Sequence[Call] = ()
    finish_reason: str | None = None
    finish: bool = True
    usage: JsonObject | None = None
    model: str | None = None
    cut_after: int | None = None
    error_in_stream: JsonObject | str | None = None
    status: int = 200
    body: JsonObject | list[Any] | str | bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0
    hold: Hold | None = None
    reset: bool = False
    dialect: Dialect | None = None
    respond: Callable[[JsonObject], Turn] | None = None


@dataclass(frozen=True)
class Failure:
    """A fault that costs one request and passes at the next.

    Attributes:
        status: HTTP status; 0 resets the connection before any header.
        retry_after: Value of `Retry-After`, or None to send none.
        detail: The message; None takes The Grid's usual words for the status.
        envelope: The error's shape; None takes The Grid's in front and the configured one at the supplier.
        at: Which hop fails: the front door, or the endpoint that a redirect leads to.
    """

    status: int
    retry_after: str | int | None = None
    detail: str | None = None
    envelope: Envelope | None = None
    at: Hop = "front"


@dataclass(kw_only=True)
class SimulatorConfig:
    """One simulated Grid. `turns` and `fail_first` are queues: the simulator takes from their front.

    Attributes:
        keys: Accepted Consumption keys; empty accepts every key that is not a `trading-` key.
        turns: Scripted turns, one per accepted chat request; the default model answers after the last.
            Append at any time.
        fail_first: Faults for the first requests; a bare number is a `Failure` with that status.
        always_fail: A fault for every request.
        redirect: Where the front door sends an accepted request: nowhere, to `/r/v1/...` on the same origin,
            to a second loopback port (or `redirect_url`), or in circles.
        redirect_url: The URL in `Location` under `port`; None takes the simulator's own second port.
        redirect_status: 307 or 308.
        relative_location: Whether `Location` is a path instead of a URL, under `path` and `loop`.
        envelope: Shape of the supplier's errors; The Grid's own always have The Grid's.
        dialect: How the supplier writes chunks.
        pacing: `instant`, or `realistic` for pauses that a person can watch.
        context_limit: Tokens that a prompt may have; None takes each instrument's own limit.
        overflow_wording: Whose words tell that the context is full.
        strict: Whether the structure of requests is checked as the strictest suppliers check it; without the
            check, the default model may stumble over tools that have no form.
        strict_fields: Whether unknown fields are refused.
        developer_role: Whether the supplier knows the `developer` role after the first message.
        trailing_assistant: Whether the last message may be an assistant's, to be continued.
    """

    keys: Collection[str] = (DEFAULT_KEY,)
    turns: list[Turn] = field(default_factory=list)
    fail_first: list[int | Failure] = field(default_factory=list)
    always_fail: int | Failure | None = None
    redirect: Literal["none", "path", "port", "loop"] = "path"
    redirect_url: str | None = None
    redirect_status: Literal[307, 308] = 307
    relative_location: bool = False
    envelope: Envelope = "grid"
    dialect: Dialect = field(default_factory=Dialect)
    pacing: Literal["instant", "realistic"] = "instant"
    context_limit: int | None = None
    overflow_wording: Wording = "openai"
    strict: bool = True
    strict_fields: bool = True
    developer_role: bool = False
    trailing_assistant: bool = False
