"""The mixed load: what clients do, each one thing after another with a pause between, for as long as it lasts.

Each of `ACTS` is one thing that a client does, with how often it does so; a third of what asks a model meets a fault of the
upstream (`bench.faults`). What comes of every request goes into the ledger (`bench.asking`).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bench.asking import HEADERS, Client, Json, Ledger, Story
from bench.chunks import TOOL_NAME
from bench.faults import FAULTS

PATIENCE = 60.0
"""Seconds after which whatever a client does has failed."""

GOOD = ("nonstream", "nonstream", "burst", "thoughts", "call")
FAULT_SHARE = 0.3
LOST = ("400 previous_response_not_found",)
"""A purge may take the turn that one continues."""

HISTORY_ITEMS, HISTORY_WORDS = 200, 1000
SMALL_BUFFER, SLOW_READ, SLOW_SECONDS = 64 << 10, 16 << 10, 0.02
UNKNOWN = "resp_" + "0" * 48

Act = Callable[[Client], Awaitable[None]]


def some_model(client: Client) -> str:
    """A good answer, or a fault."""
    return client.chance.choice(FAULTS if client.chance.random() < FAULT_SHARE else GOOD)


# -- turns --------------------------------------------------------------------------------------------------------


async def streamed(client: Client) -> None:
    """A stream."""
    await client.stream(client.body(some_model(client)))


async def whole(client: Client) -> None:
    """An answer in one piece."""
    await client.whole(client.body(some_model(client)))


async def chained(client: Client) -> None:
    """Some stored turns, each by the id of the one before; one that fails leaves that one to be continued."""
    previous = None
    for _ in range(client.chance.randint(2, 6)):
        body = client.body(some_model(client), store=True, previous_response_id=previous)
        if response := await client.either(body, also=LOST if previous else ()):
            previous = response["id"]


async def called(client: Client) -> None:
    """A tool call and its output, by the id or with everything sent again."""
    stored = client.chance.random() < 0.5
    first = await client.either(client.body("call", store=stored))
    if first is None:
        return
    calls = [item for item in first["output"] if item["type"] == "function_call"]
    if [call["name"] for call in calls] != [TOOL_NAME]:
        client.ledger.object("a response without the call that was made")
        return
    output = {"type": "function_call_output", "call_id": calls[0]["call_id"], "output": "written"}
    items = [output] if stored else [{"role": "user", "content": "Go."}, *first["output"], output]
    previous = first["id"] if stored else None
    await client.either(
        client.body(some_model(client), input=items, previous_response_id=previous, store=stored),
        also=LOST if stored else (),
    )


_LONG = [
    {"role": "assistant" if number % 2 else "user", "content": f"{number} " + "word " * HISTORY_WORDS}
    for number in range(HISTORY_ITEMS)
]


async def long(client: Client) -> None:
    """A history of a megabyte; some are stored."""
    items = [*_LONG, {"role": "user", "content": f"And now? {client.chance.random()}"}]
    await client.either(client.body(some_model(client), input=items, store=client.chance.random() < 0.1))


async def chat(client: Client) -> None:
    """A chat completion, passed through."""
    model = some_model(client)
    messages = [{"role": "user", "content": f"Say hello, please. {client.chance.random()}"}]
    try:
        word, _ = await client.plain(
            "POST", "/chat/completions", {"model": model, "messages": messages, "stream": True}
        )
    except httpx.RemoteProtocolError:
        word = "unfinished"
    client.ledger.note("chat", model, "ok" if word == "200" else word)


# -- clients that are not patient ---------------------------------------------------------------------------------


async def leaving(client: Client) -> None:
    """A client that goes away: before the answer's head, or after some events of the stream."""
    stored = client.chance.random() < 0.5
    model = client.chance.choice(("paced", "burst", "flood", "mute", "silent", "nonstream"))
    body = client.body(model, store=stored, stream=True)
    client.ledger.uncertain += stored
    await _leave(client, body)


async def _leave(client: Client, body: Json) -> None:
    story = Story(client.ledger)
    reading = client.read(story, "POST", "/responses", body, most=client.chance.randint(1, 30))
    word = "left"
    try:
        async with asyncio.timeout(client.chance.choice((0.002, 0.05, 0.5, PATIENCE))):
            word = await reading
    except TimeoutError:
        pass
    client.ledger.tell("leaving", word, "left", "completed", "504", "failed")


async def slow(client: Client) -> None:
    """A client that takes some seconds to read what is there at once."""
    patient = Client.of(client.number, client.base, client.ledger, receive_buffer=SMALL_BUFFER)
    content = json.dumps(client.body("flood", stream=True)).encode()
    read = b""
    async with (
        patient.http,
        patient.http.stream("POST", client.base + "/responses", content=content) as answer,
    ):
        async for data in answer.aiter_raw(SLOW_READ):
            read += data
            await asyncio.sleep(SLOW_SECONDS)
    ends = read.count(b"event: response.completed")
    client.ledger.tell("slow", "completed" if ends == 1 else f"{ends} ends", "completed")


# -- conversations ------------------------------------------------------------------------------------------------


async def conversing(client: Client) -> None:
    """A conversation from its making to its end, with two turns at once, and one whose client leaves."""
    word, made = await client.plain("POST", "/conversations", {"metadata": {"who": str(client.number)}})
    client.ledger.tell("conversation", word, "200")
    client.ledger.stored += 1
    place = f"/conversations/{made['id']}"

    def turn(model: str) -> Json:
        return client.body(model, store=True, conversation=made["id"])

    for _ in range(client.chance.randint(1, 3)):
        await client.either(turn(some_model(client)))
    if client.chance.random() < 0.3:
        await asyncio.gather(*(client.either(turn("burst"), also=("409 conversation_locked",)) for _ in "ab"))
    if client.chance.random() < 0.3:
        client.ledger.uncertain += 1
        await _leave(client, {**turn("paced"), "stream": True})
        await _turn_after(client, turn("nonstream"))
    await _looked_after(client, place)
    if client.chance.random() < 0.5:
        word, _ = await client.plain("DELETE", place)
        client.ledger.tell("conversation", word, "200")
        client.ledger.deleted += word == "200"


async def _turn_after(client: Client, body: Json) -> None:
    """A turn as soon as the lock of one that nobody waits for is given back."""
    locked, ends = "409 conversation_locked", time.monotonic() + 10
    while time.monotonic() < ends:
        word, said = await client.plain("POST", "/responses", body)
        if word != locked:
            break
        await asyncio.sleep(0.1)
    client.ledger.note("whole", body["model"], said.get("status", word))
    client.ledger.stored += word == "200"


async def _looked_after(client: Client, place: str) -> None:
    """Items and metadata, read and changed."""
    item = {"type": "message", "role": "user", "content": "A note."}
    word, added = await client.plain("POST", f"{place}/items", {"items": [item]})
    client.ledger.tell("conversation", word, "200")
    word, listed = await client.plain("GET", f"{place}/items?limit=5")
    client.ledger.tell("conversation", word, "200")
    if [each["id"] for each in listed["data"][:1]] != [added["data"][0]["id"]]:
        client.ledger.object("a conversation that does not list its newest item first")
    word, _ = await client.plain("DELETE", f"{place}/items/{added['data'][0]['id']}")
    client.ledger.tell("conversation", word, "200")
    word, _ = await client.plain("POST", place, {"metadata": {"seen": "yes"}})
    client.ledger.tell("conversation", word, "200")


# -- background ---------------------------------------------------------------------------------------------------


async def _begun(client: Client, model: str) -> str:
    """A background response, begun."""
    word, queued = await client.plain("POST", "/responses", client.body(model, store=True, background=True))
    client.ledger.tell("background's beginning", word, "200")
    client.ledger.stored += 1
    response_id: str = queued["id"]
    return response_id


async def background(client: Client) -> None:
    """A background response, asked for until it has ended."""
    model = some_model(client)
    response_id = await _begun(client, model)
    status = "queued"
    while status in ("queued", "in_progress"):
        await asyncio.sleep(0.1)
        word, response = await client.plain("GET", f"/responses/{response_id}")
        status = response.get("status", word)
    client.ledger.note("background", model, status)


async def resumed(client: Client) -> None:
    """A background stream that its client leaves and takes up again, more than once, each time where it was."""
    model = client.chance.choice(("paced", "paced", some_model(client)))
    body = client.body(model, store=True, background=True, stream=True)
    client.ledger.stored += 1
    story = Story(client.ledger)
    word = await client.read(story, "POST", "/responses", body, most=client.chance.randint(1, 20))
    while word == "left":
        most = client.chance.choice((story.events + client.chance.randint(1, 40), None))
        path = f"/responses/{story.id}?stream=true&starting_after={story.last}"
        word = await client.read(story, "GET", path, most=most)
    client.ledger.note("background", model, word)


async def cancelled(client: Client) -> None:
    """A background response that is cancelled, or deleted, while it is made."""
    response_id = await _begun(client, client.chance.choice(("paced", "silent", "mute", "flood")))
    await asyncio.sleep(client.chance.random())
    if client.chance.random() < 0.7:
        word, response = await client.plain("POST", f"/responses/{response_id}/cancel")
        client.ledger.tell("cancelling", response.get("status", word), "cancelled", "completed")
    if client.chance.random() < 0.5:
        await _deleted(client, response_id)


async def _deleted(client: Client, response_id: str) -> None:
    word, _ = await client.plain("DELETE", f"/responses/{response_id}")
    client.ledger.tell("deleting", word, "200")
    client.ledger.deleted += word == "200"
    word, _ = await client.plain("GET", f"/responses/{response_id}")
    client.ledger.tell("reading what is gone", word, "404")


# -- what is kept, and what is wrong ------------------------------------------------------------------------------


async def kept(client: Client) -> None:
    """A stored response, read, listed, deleted."""
    response = await client.either(client.body("nonstream", store=True))
    if response is None:
        return
    place = f"/responses/{response['id']}"
    word, read = await client.plain("GET", place)
    client.ledger.tell("reading", word, "200")
    if read != response:
        client.ledger.object("a stored response that is not what was told")
    word, listed = await client.plain("GET", f"{place}/input_items")
    client.ledger.tell("reading", word, "200")
    if len(listed.get("data", ())) != 1:
        client.ledger.object("a stored response without its input")
    await _deleted(client, response["id"])


WRONG: tuple[tuple[str, str, str, bytes, dict[str, str]], ...] = (
    ("400", "POST", "/responses", b"{", {}),
    ("400 missing_required_parameter", "POST", "/responses", b'{"model": "nonstream"}', {}),
    (
        "400 decimal_below_min_value",
        "POST",
        "/responses",
        b'{"model": "a", "input": "a", "temperature": -1}',
        {},
    ),
    (
        "400 previous_response_not_found",
        "POST",
        "/responses",
        json.dumps({"model": "nonstream", "input": "a", "previous_response_id": UNKNOWN}).encode(),
        {},
    ),
    ("400", "POST", "/responses", b"not compressed", {"content-encoding": "gzip"}),
    ("415 unsupported_content_type", "POST", "/responses", b"{}", {"content-type": "text/plain"}),
    ("403 origin_not_allowed", "POST", "/responses", b"{}", {"origin": "https://evil.example"}),
    ("403 host_not_allowed", "GET", "/models", b"", {"host": "evil.example"}),
    ("404", "GET", "/nowhere", b"", {}),
    ("404", "GET", f"/responses/{UNKNOWN}", b"", {}),
    ("404", "POST", f"/responses/{UNKNOWN}/cancel", b"", {}),
    ("405 method_not_supported", "PUT", "/responses", b"{}", {}),
)


async def wrong(client: Client) -> None:
    """Requests that must be refused, each with its status and code."""
    wanted, method, path, content, headers = client.chance.choice(WRONG)
    word, _ = await client.plain(method, path, content=content, headers={**HEADERS, **headers})
    client.ledger.tell("a wrong request", word, wanted)


async def looked_at(client: Client) -> None:
    """Everything else that is served."""
    asked = client.body("nonstream")
    del asked["store"]
    for method, path, body in (
        ("GET", "/models", None),
        ("GET", "/readyz", None),
        ("POST", "/responses/input_tokens", asked),
        ("POST", "/responses/compact", asked),
    ):
        word, _ = await client.plain(method, path, body)
        client.ledger.tell(f"{method} {path}", word, "200")


# -- WebSockets ---------------------------------------------------------------------------------------------------


async def connected(client: Client) -> None:
    """Some turns over a WebSocket, each continuing the one before; some clients go away within one."""
    url = client.base.replace("http", "ws", 1) + "/responses"
    authorized = {"authorization": HEADERS["authorization"]}
    async with connect(url, additional_headers=authorized, max_size=None, proxy=None) as socket:
        previous = None
        for _ in range(client.chance.randint(1, 4)):
            if client.chance.random() < 0.1:
                await socket.send(json.dumps({"type": "response.create", **client.body("paced")}))
                client.ledger.tell("leaving", "left", "left")
                return
            story = await _turn(client, socket, previous)
            previous = story.id if story.word == "completed" else None
        await _side_by_side(client, socket)


async def _turn(client: Client, socket: ClientConnection, previous: str | None) -> Story:
    model, stored = some_model(client), client.chance.random() < 0.3
    body = client.body(model, store=stored, previous_response_id=previous)
    await socket.send(json.dumps({"type": "response.create", **body}))
    story = Story(client.ledger)
    while not story.over:
        story.take(json.loads(await socket.recv()))
    client.ledger.note("websocket", model, story.word, also=("error",) if previous else ())
    client.ledger.stored += stored and story.word == "completed"
    return story


async def _side_by_side(client: Client, socket: ClientConnection) -> None:
    """Two lanes at the same time."""
    stories = {lane: Story(client.ledger) for lane in "ab"}
    for lane in stories:
        await socket.send(json.dumps({"type": "response.create", "stream_id": lane, **client.body("burst")}))
    while not all(story.over for story in stories.values()):
        event = json.loads(await socket.recv())
        stories[event["stream_id"]].take(event)
    for story in stories.values():
        client.ledger.note("websocket", "burst", story.word)


# -- all of it ----------------------------------------------------------------------------------------------------

ACTS: dict[Act, int] = {
    streamed: 18,
    whole: 14,
    chained: 8,
    called: 5,
    long: 2,
    chat: 8,
    leaving: 10,
    slow: 1,
    conversing: 5,
    background: 6,
    resumed: 5,
    cancelled: 4,
    kept: 5,
    wrong: 5,
    looked_at: 2,
    connected: 5,
}


async def one(client: Client, act: Act) -> None:
    """One thing that a client does; whatever breaks is written down."""
    name = getattr(act, "__name__", "an act")
    try:
        async with asyncio.timeout(PATIENCE):
            await act(client)
    except TimeoutError:
        client.ledger.object(f"{name}: no end in {PATIENCE:.0f} s")
    except (httpx.HTTPError, OSError, ConnectionClosed, ValueError, KeyError) as error:
        client.ledger.object(f"{name}: {type(error).__name__}: {error}")


async def life(client: Client, ends: float, pause: float) -> None:
    """One client, until the time is over; `pause` is the mean of the seconds between two acts."""
    acts, weights = list(ACTS), list(ACTS.values())
    async with client.http:
        await asyncio.sleep(client.chance.random() * pause)
        while time.monotonic() < ends:
            await one(client, client.chance.choices(acts, weights)[0])
            await asyncio.sleep(min(client.chance.expovariate(1 / pause), max(0.0, ends - time.monotonic())))


async def load(base: str, ledger: Ledger, clients: int, seconds: float, pause: float) -> None:
    """So many clients for so many seconds; returns when the last has ended what it was at."""
    ends = time.monotonic() + seconds
    made = (Client.of(number, base, ledger) for number in range(clients))
    async with asyncio.TaskGroup() as group:
        for client in made:
            group.create_task(life(client, ends, pause))


WARM: tuple[Act, ...] = (kept, called, looked_at)


async def warm_up(base: str, ledger: Ledger, clients: int) -> None:
    """A little by many at once, so that pools and threads are as many as they ever get."""
    made = [Client.of(number, base, ledger) for number in range(clients)]
    async with asyncio.TaskGroup() as group:
        for client, act in itertools.product(made, WARM):
            group.create_task(one(client, act))
    for client in made:
        await client.http.aclose()
