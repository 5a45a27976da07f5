"""Every limit once: its name, default, what it bounds, why, and what answers whoever goes beyond.

They are settings like the others, apart because each has a reason and an answer; `docs/limits.md` is made from here.
Limits on numbers hold for each process.

Not here: where they are enforced.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

DEEPEST_JSON = 190
"""What the JSON parser reads is nested 200 deep at most; what is stored wraps a request's parts a few times more."""


def _limit(default: float, meaning: str, *, reason: str, answer: str, **bounds: Any) -> Any:
    """A setting that is a limit, itself above 0 unless `bounds` say otherwise."""
    said = {"reason": reason, "answer": answer}
    return Field(default, description=meaning, json_schema_extra={**said}, **(bounds or {"gt": 0}))


NOT_OVER_ALL = "`response.failed` with `server_error`; HTTP 502 if not streamed"


class Limits(BaseModel):
    """The settings that are limits."""

    # -- a request's head
    max_url_bytes: int = _limit(
        8 << 10,
        "Longest URL of a request.",
        reason="RFC 9110 asks for 8,000 octets; ids and cursors need some hundred",
        answer="414 `url_too_long`",
    )
    max_header_bytes: int = _limit(
        64 << 10,
        "Bytes of all headers of a request.",
        reason="the HTTP parser sets no bound, and all are kept; clients send a few KB",
        answer="431 `headers_too_large`; the connection is closed",
    )
    max_headers: int = _limit(
        128,
        "Headers of a request.",
        reason="each costs its parsing; clients behind proxies send up to 40",
        answer="431 `headers_too_large`; the connection is closed",
    )
    request_head_seconds: float = _limit(
        30.0,
        "Time that a client has to send a request's head, or to begin one.",
        reason="a connection that says nothing holds a file descriptor for ever",
        answer="408 `request_timeout` if something was sent; the connection is closed",
    )
    idle_seconds: float = _limit(
        100.0,
        "Time that a connection stays open for its client's next request.",
        reason="longer than clients keep theirs (the Python SDK 5 s, Codex 90 s): who closes first loses a request on its way",
        answer="none: the connection is closed",
    )
    send_seconds: float = _limit(
        300.0,
        "Time within which a client must take something of what waits to be sent to it.",
        reason="who does not read holds a connection and what is made for it for ever; some MB wait in the system before",
        answer="none: the connection is cut",
    )
    linger_seconds: float = _limit(
        5.0,
        "Time for which what a client still sends after its last answer is read and dropped.",
        reason="to close before would reset the connection, and a client that is sending loses the answer",
        answer="none: the connection is closed",
    )
    linger_bytes: int = _limit(
        256 << 20,
        "Bytes that are dropped so.",
        reason="they are of no use; a body that is too large by as much can still be told so",
        answer="none: the connection is closed",
    )
    max_client_connections: int = _limit(
        10_000,
        "Most connections of clients at one time.",
        reason="each holds a file descriptor and some KB",
        answer="503 `too_many_connections` with `retry-after`; the connection is closed",
    )

    # -- a request's body
    max_body_bytes: int = _limit(
        64 << 20,
        "Largest request body as sent, and largest WebSocket message.",
        reason="it is read whole into memory; a Codex history of a million tokens has about 5 MB",
        answer="413 `request_too_large`; a WebSocket is closed with 1009",
    )
    max_decoded_bytes: int = _limit(
        256 << 20,
        "Largest request body once decompressed.",
        reason="1 KB of zstd can hold 32 MB",
        answer="413 `request_too_large`",
    )
    body_seconds: float = _limit(
        300.0,
        "Time that a client has to send a request's body.",
        reason="a body that trickles holds its memory and a place",
        answer="408 `request_timeout`; the connection is closed",
    )
    max_json_depth: int = _limit(
        DEEPEST_JSON,
        f"Objects and arrays within each other in a request; {DEEPEST_JSON} at most.",
        reason="what was stored must be read again, by a parser with a bound; the API's own on schemas is 10",
        answer="400 `json_too_deep`, `param` is the field",
        gt=0,
        le=DEEPEST_JSON,
    )
    max_json_values: int = _limit(
        2_000_000,
        "Objects, arrays and commas in a request's JSON, those within its texts included.",
        reason="three bytes can hold a value of 64, and each takes time; a million tokens of code have about 100,000",
        answer="400 `json_too_large`",
    )
    max_input_items: int = _limit(
        100_000,
        "Items of a request's input.",
        reason="each is checked and translated; a Codex history of 10 MB has 5,000",
        answer="400 `array_above_max_length`, `param` is `input`",
    )
    max_tools: int = _limit(
        4096,
        "Tools of a request, those in namespaces and in the input included.",
        reason="each is translated in each request; many MCP servers together offer hundreds",
        answer="400 `array_above_max_length`, `param` is `tools`, or where in the input they stand",
    )
    max_tool_name_characters: int = _limit(
        1024,
        "Characters of a tool's or namespace's name.",
        reason="events and errors repeat it; names over 64 are shortened for the upstream",
        answer="400 `string_above_max_length`, `param` is the name's path",
    )
    max_schema_bytes: int = _limit(
        1 << 20,
        "Bytes of one JSON Schema, written compactly.",
        reason="suppliers compile it; the API's own bound on all names in it is 120,000 characters",
        answer="400 `schema_too_large`, `param` is the schema's path",
    )
    max_images: int = _limit(
        1500,
        "Images of a request's input.",
        reason="three times what the API has documented",
        answer="400 `too_many_images`, `param` is the first one too many",
    )
    max_inline_bytes: int = _limit(
        64 << 20,
        "Bytes of all images and files that stand in the input itself, as base64.",
        reason="they are copied on their way upstream; the API has documented 50 MB",
        answer="400 `inline_data_too_large`, `param` is the part that goes beyond",
    )

    # -- requests at one time
    max_requests: int = _limit(
        4000,
        "Requests that are answered at one time, turns on WebSockets included.",
        reason="each holds its output in memory, and its input until the answer begins or, if it is to be stored, until it is",
        answer="503 `concurrency_limit_exceeded` with `retry-after`; `/healthz` and `/readyz` are always answered, and the latter says so",
    )
    max_client_requests: int = _limit(
        2000,
        "Those of one client: of one token, or one key.",
        reason="one client cannot keep all others out",
        answer="503 `concurrency_limit_exceeded` with `retry-after`",
    )
    max_connections: int = _limit(
        2000,
        "Most connections to the upstream at one time.",
        reason="each holds a file descriptor",
        answer="further requests wait, within `header_seconds`; then 504",
    )
    background_jobs: int = _limit(
        64,
        "Background responses that one process makes at a time.",
        reason="nobody waits for them, so they need not be made all at once",
        answer="none: further ones wait as `queued`, and the clients take turns",
    )
    background_client_jobs: int = _limit(
        48,
        "Those of one client.",
        reason="the work of one client cannot keep that of all others waiting",
        answer="none: further ones wait as `queued`",
    )
    background_client_queue: int = _limit(
        2000,
        "Those of one client that wait or are made, in all processes.",
        reason="what waits is kept until its turn, and counted each time that more comes",
        answer="503 `concurrency_limit_exceeded` with `retry-after`",
    )
    background_client_queue_bytes: int = _limit(
        1 << 30,
        "Bytes of their requests.",
        reason="they stand in the store until they end, and no purge may take them",
        answer="503 `concurrency_limit_exceeded` with `retry-after`",
    )

    # -- an answer
    connect_seconds: float = _limit(
        10.0,
        "Time to connect to the upstream.",
        reason="what is there answers within a round trip",
        answer="tried again, then 504",
    )
    header_seconds: float = _limit(
        300.0,
        "Time until the upstream's first byte.",
        reason="models that reason, and queues, take minutes",
        answer="504",
    )
    read_seconds: float = _limit(
        300.0,
        "Longest silence within an upstream stream.",
        reason="models think between words",
        answer=NOT_OVER_ALL.replace("502", "504"),
    )
    response_seconds: float = _limit(
        14_400.0,
        "Time that the upstream may take for one answer from its first byte; 0 sets no bound.",
        reason="an upstream that trickles never ends",
        answer=NOT_OVER_ALL.replace("502", "504"),
        ge=0,
    )
    max_answer_bytes: int = _limit(
        256 << 20,
        "Bytes of one answer as the upstream sends it.",
        reason="128,000 tokens one by one have about 35 MB, with the 20 likeliest beside each about 150 MB",
        answer=NOT_OVER_ALL,
    )
    max_event_bytes: int = _limit(
        64 << 20,
        "Bytes of one event, or of one whole JSON answer, of the upstream.",
        reason="it is held until it is whole",
        answer=NOT_OVER_ALL,
    )
    max_output_bytes: int = _limit(
        64 << 20,
        "Bytes of text, reasoning and arguments in one response; each call counts for 1 KB more, "
        "each citation for 512 bytes, each log probability for 12.",
        reason="they are held until its end; 128,000 tokens have about 600 KB",
        answer=NOT_OVER_ALL,
    )
    max_output_items: int = _limit(
        10_000,
        "Items, such as tool calls, in one response.",
        reason="an answer that goes on and on in calls; usual ones have up to 100",
        answer=NOT_OVER_ALL,
    )

    # -- WebSockets
    websocket_seconds: float = _limit(
        3600.0,
        "Age at which a WebSocket ends, after the turns under way.",
        reason="as the API's own; what it remembers cannot grow old with it",
        answer="the event `websocket_connection_limit_reached`, then close with 1001",
    )
    websocket_streams: int = _limit(
        16,
        "Responses that are made for one WebSocket at a time.",
        reason="each holds a connection to the upstream",
        answer="429 `websocket_stream_limit_reached`, as an event",
    )
    websocket_waiting: int = _limit(
        64,
        "Requests that wait on one WebSocket; together they have `max_body_bytes` at most.",
        reason="each holds its whole input",
        answer="429 `websocket_queue_limit_reached`, as an event",
    )
    websocket_turns: int = _limit(
        64,
        "Turns that a WebSocket remembers, the newest.",
        reason="enough for one of each of many interleaved chains",
        answer="400 `previous_response_not_found` for older ones, upon which clients send everything",
    )
    websocket_memory_bytes: int = _limit(
        64 << 20,
        "Bytes of turns that a WebSocket remembers.",
        reason="they are in memory",
        answer="as above",
    )

    # -- what is stored
    max_chained_responses: int = _limit(
        2000,
        "Responses that one may continue, one after the other.",
        reason="all of them are read for each turn",
        answer="400 `previous_response_chain_too_long`, `param` is `previous_response_id`",
    )
    max_history_bytes: int = _limit(
        128 << 20,
        "Bytes of all that a request refers to: earlier turns, its conversation, single items.",
        reason="they are read whole into memory, an item as often as it is named; a million tokens have about 5 MB",
        answer="400 `history_too_large`, `param` is the field that refers to it",
    )
    store_max_bytes: int = _limit(
        4 << 30,
        "Bytes kept in the store; above them a purge deletes the oldest of those who keep most; 0 sets no bound.",
        reason="a disk is finite, and nobody loses what is within a fair share of it to another",
        answer="none: what was deleted is as unknown as if it never was",
        ge=0,
    )
    stream_max_bytes: int = _limit(
        32 << 20,
        "Bytes of one response's events that are kept to resume its stream.",
        reason="an event takes many times the room of the words in it",
        answer="none: the response is kept, its stream cannot be resumed",
    )
