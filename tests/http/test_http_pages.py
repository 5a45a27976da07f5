"""Who may ask by the name it asks under and the page it asks from, over real sockets."""

import json

import httpx
import pytest
from http_fakes import FakeTurn, raw_request, soon
from pydantic import ValidationError

from shim.http.pages import METHODS
from shim.http.routes import ROUTES
from shim.settings import Settings

TOKEN = "a-token-of-24-characters"
APP = "https://app.example"
OWN = "http://localhost:4000"
BODY = b'{"model":"m"}'
PATHS = (
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/models",
    "/healthz",
    "/readyz",
    "/openapi.json",
    "/",
    "/no",
)


async def answer(client, method="GET", path="/healthz", **headers):
    """Status and error code of one request; `None` leaves a header out."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = await client.request(method, path, headers=sent, content=BODY if method == "POST" else None)
    error = reply.json().get("error") or {} if reply.content else {}
    return reply.status_code, error.get("code")


async def upgrade(client, **headers):
    """Status and body of the attempt to open a WebSocket."""
    lines = {
        "host": "localhost",
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    request = f"GET /v1/responses HTTP/1.1\r\n{head}\r\n".encode()
    async with raw_request(client, request) as (reader, writer):
        status = int((await soon(reader.readline())).split()[1])
        if status == 101:
            return status, None
        writer.write_eof()
        body = (await soon(reader.read())).partition(b"\r\n\r\n")[2]
    return status, json.loads(body)["error"]["code"]


# -- Host -----------------------------------------------------------------------------------------------------

LOCAL = [
    "localhost",
    "LocalHost:4000",
    "localhost.",
    "app.localhost:1",
    "127.0.0.1:80",
    "127.8.9.1",
    "[::1]:4000",
]
LOCAL += ["[::1]", "[::ffff:127.0.0.1]"]
FOREIGN = [
    "evil.example",
    "evil.example:4000",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "notlocalhost",
]
FOREIGN += [
    "192.168.1.5:4000",
    "[2001:db8::1]",
    "localhost,evil.example",
    "evil.example@localhost",
    "",
    "[",
    "a b",
]
NAMED = {"allowed_hosts": "shim.example,*.corp.example,10.1.1.1"}
TOKENED = {"client_tokens": TOKEN}


@pytest.mark.parametrize(
    ("settings", "hosts", "allowed"),
    [
        ({}, LOCAL, True),
        ({}, FOREIGN, False),
        (NAMED, [*LOCAL, "shim.example:4000", "SHIM.example.", "a.b.corp.example", "10.1.1.1:1"], True),
        (NAMED, [*FOREIGN, "corp.example", "evilcorp.example", "a.shim.example"], False),
        ({"allowed_hosts": "*"}, [*LOCAL, *FOREIGN], True),
        ({"host": "box.lan"}, [*LOCAL, "box.lan:4000", "192.168.1.5", "[2001:db8::1]"], True),
        ({"host": "0.0.0.0"}, [*LOCAL, "192.168.1.5:4000"], True),
        ({"host": "::"}, [*LOCAL, "192.168.1.5:4000", "[2001:db8::1]:4000"], True),
        ({"host": "0.0.0.0"}, ["evil.example", "box.lan", "1.2.3.4.evil.example"], False),
        (TOKENED, [*LOCAL, *FOREIGN], True),
        (TOKENED | NAMED, [*LOCAL, "shim.example"], True),
        (TOKENED | NAMED, FOREIGN, False),
    ],
)
async def test_a_host_is_served_or_not(serve, settings, hosts, allowed):
    async with serve(**settings) as client:
        answers = {host: await answer(client, host=host) for host in hosts}
    assert answers == dict.fromkeys(hosts, (200, None) if allowed else (403, "host_not_allowed"))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "DELETE"])
async def test_a_foreign_host_is_refused_on_every_path_before_anything_is_done(
    serve, exchange, upstream, method, path
):
    async with serve() as client:
        assert await answer(client, method, path, host="evil.example") == (403, "host_not_allowed")
    assert (exchange.opened, upstream.forwarded, upstream.catalogs) == ([], [], [])


async def test_the_refusal_names_the_header_its_value_and_the_setting(serve):
    async with serve() as client:
        reply = await client.get("/", headers={"host": "evil.example"})
    message = reply.json()["error"]["message"]
    assert all(
        word in message for word in ("Host", "'evil.example'", "allowed_hosts", "GRID_SHIM_ALLOWED_HOSTS")
    )


async def test_a_request_without_a_host_is_no_browsers_and_is_served(serve):
    async with serve() as client, raw_request(client, b"GET /healthz HTTP/1.0\r\n\r\n") as (reader, _):
        assert b" 200 " in await soon(reader.readline())


async def test_two_hosts_are_none(serve):
    head = b"GET /healthz HTTP/1.1\r\nhost: evil.example\r\nhost: localhost\r\n\r\n"
    async with serve() as client, raw_request(client, head) as (reader, _):
        assert b" 40" in await soon(reader.readline())


# -- Origin and Sec-Fetch-Site ------------------------------------------------------------------------------------

ORIGINS = {"allowed_origins": f"{APP},null,vscode-webview://*,http://localhost:3000"}
ALLOWED = [APP, "null", "vscode-webview://0f3c", "http://localhost:3000"]
STRANGE = [
    "https://evil.example",
    "http://app.example",
    f"{APP}:444",
    f"{APP}.evil.example",
    "http://localhost:3001",
]
STRANGE += ["file://", "chrome-extension://abc", "http://[", "localhost:4000", "ftp://localhost:4000", ""]


@pytest.mark.parametrize(
    ("settings", "origins", "allowed"),
    [
        ({}, [OWN, "https://localhost:4000"], True),
        ({}, [*STRANGE, *ALLOWED], False),
        (ORIGINS, [OWN, *ALLOWED], True),
        (ORIGINS, STRANGE, False),
        ({"allowed_origins": "*"}, [OWN, *ALLOWED, *STRANGE], True),
        (TOKENED, [OWN, *ALLOWED, *STRANGE], True),
        (TOKENED | ORIGINS, [OWN, *ALLOWED], True),
        (TOKENED | ORIGINS, STRANGE, False),
    ],
)
async def test_an_origin_may_ask_or_not_over_http_and_websocket_alike(serve, settings, origins, allowed):
    own = {"host": "localhost:4000", "authorization": f"Bearer {TOKEN}"}
    async with serve(**settings) as client:
        posted = {each: await answer(client, "POST", "/v1/responses", origin=each, **own) for each in origins}
        opened = {each: await upgrade(client, origin=each, **own) for each in origins}
    refused = (403, "origin_not_allowed")
    assert posted == dict.fromkeys(origins, (200, None) if allowed else refused)
    assert opened == dict.fromkeys(origins, (101, None) if allowed else refused)


@pytest.mark.parametrize(
    ("settings", "site", "status"),
    [
        ({}, "none", 200),
        ({}, "same-origin", 200),
        ({}, "cross-site", 403),
        ({}, "same-site", 403),
        ({}, "something-new", 403),
        (ORIGINS, "cross-site", 403),
        ({"allowed_origins": "*"}, "cross-site", 200),
        (TOKENED, "cross-site", 200),
    ],
)
async def test_a_page_s_request_without_an_origin_is_known_by_sec_fetch_site(serve, settings, site, status):
    async with serve(**settings) as client:
        assert (await answer(client, sec_fetch_site=site))[0] == status


async def test_an_allowed_origin_counts_more_than_the_site(serve):
    async with serve(**ORIGINS) as client:
        assert (await answer(client, origin=APP, sec_fetch_site="cross-site"))[0] == 200


async def test_a_foreign_page_does_not_learn_what_exists_and_nothing_is_done(serve, exchange, upstream):
    async with serve() as client:
        answers = {await answer(client, "POST", path, origin=APP) for path in PATHS}
        assert await upgrade(client, host="evil.example", origin="http://evil.example") == (
            403,
            "host_not_allowed",
        )
    assert answers == {(403, "origin_not_allowed")}
    assert (exchange.opened, upstream.forwarded, upstream.catalogs) == ([], [], [])


@pytest.mark.parametrize(
    ("name", "value"), [("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")]
)
async def test_the_refusal_of_a_page_names_the_header_and_the_setting(serve, name, value):
    async with serve() as client:
        reply = await client.get("/", headers={name: value})
    message = reply.json()["error"]["message"]
    assert all(word in message for word in (name, value, "allowed_origins", "GRID_SHIM_ALLOWED_ORIGINS"))


# -- CORS -----------------------------------------------------------------------------------------------------

ASKED = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-os",
}


def cors(reply):
    return {name: value for name, value in reply.headers.items() if name.startswith("access-control-")}


@pytest.mark.parametrize("settings", [{}, TOKENED])
async def test_without_allowed_origins_no_answer_is_shared(serve, settings):
    async with serve(**settings) as client:
        for method in ("OPTIONS", "GET", "POST"):
            reply = await client.request(method, "/v1/responses", headers={"origin": APP, **ASKED})
            assert reply.status_code >= 400
            assert cors(reply) == {}
            assert "vary" not in reply.headers


@pytest.mark.parametrize("settings", [ORIGINS, TOKENED | ORIGINS, {"allowed_origins": "*"}])
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/conversations/conv_1/items/x"])
async def test_a_preflight_is_answered_with_all_that_the_page_wants_to_send(serve, settings, path):
    async with serve(**settings) as client:
        reply = await client.options(path, headers={"origin": APP, **ASKED})
    assert (reply.status_code, reply.content) == (204, b"")
    assert reply.headers["vary"] == "origin"
    assert cors(reply) == {
        "access-control-allow-origin": APP,
        "access-control-expose-headers": "*",
        "access-control-allow-methods": METHODS.decode(),
        "access-control-allow-headers": ASKED["access-control-request-headers"],
        "access-control-max-age": "600",
    }


async def test_a_page_on_the_public_network_is_let_into_this_one_if_it_asks(serve):
    asked = {"origin": APP, **ASKED, "access-control-request-private-network": "true"}
    async with serve(**ORIGINS) as client:
        reply = await client.options("/v1/responses", headers=asked)
    assert reply.headers["access-control-allow-private-network"] == "true"


async def test_a_preflight_of_another_page_is_refused(serve):
    async with serve(**ORIGINS) as client:
        reply = await client.options("/v1/responses", headers={"origin": "https://evil.example", **ASKED})
    assert reply.status_code == 403
    assert cors(reply) == {}


async def test_an_options_request_that_is_no_preflight_is_405(serve):
    async with serve(**ORIGINS) as client:
        assert (await client.options("/v1/responses", headers={"origin": APP})).status_code == 405


def test_a_preflight_promises_every_method_that_a_route_has():
    assert {method for route in ROUTES for method in route.methods} == set(METHODS.decode().split(", "))


async def test_answers_streams_and_errors_are_shared_with_the_page(serve, exchange):
    exchange.turns.append(FakeTurn(b"data: 1\n\n", headers={"x-shim-notes": "one"}))
    async with serve(**ORIGINS) as client:
        stream = await client.post(
            "/v1/responses", json={"model": "m", "stream": True}, headers={"origin": APP}
        )
        wrong = await client.post("/v1/responses", content=b"[]", headers={"origin": APP})
        lost = await client.get("/v1/nothing", headers={"origin": APP})
    assert (stream.status_code, stream.text) == (200, "data: 1\n\n")
    assert (wrong.status_code, lost.status_code) == (400, 404)
    for reply in (stream, wrong, lost):
        assert cors(reply) == {"access-control-allow-origin": APP, "access-control-expose-headers": "*"}
        assert reply.headers["vary"] == "origin"


async def test_a_page_without_its_token_may_read_that_it_needs_one(serve):
    async with serve(**TOKENED, **ORIGINS) as client:
        reply = await client.get("/v1/models", headers={"origin": APP})
    assert reply.status_code == 401
    assert reply.headers["access-control-allow-origin"] == APP


async def test_a_cache_is_told_that_answers_depend_on_the_origin_even_if_there_is_none(serve):
    async with serve(**ORIGINS) as client:
        reply = await client.get("/v1/models")
    assert reply.headers["vary"] == "origin"
    assert cors(reply) == {}


# -- all answers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
async def test_no_answer_is_guessed_to_be_a_page(serve, path):
    async with serve() as client:
        reply: httpx.Response = await client.get(path)
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["content-type"] == "application/json"


async def test_what_a_request_says_comes_back_as_json_and_never_as_a_page(serve):
    async with serve() as client:
        reply = await client.get("/<script>alert(1)</script>", headers={"accept": "text/html"})
    assert reply.headers["content-type"] == "application/json"


# -- settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("allowed_hosts", "http://shim.example", "without scheme and port"),
        ("allowed_hosts", "shim.example:4000", "without scheme and port"),
        ("allowed_hosts", "*example", "without scheme and port"),
        ("allowed_origins", "app.example", "scheme://host"),
        ("allowed_origins", "https://app.example/", "without a path"),
        ("allowed_origins", "https://*.example", "scheme://host"),
        ("client_tokens", "short", "at least 16 characters"),
        ("client_tokens", f"{TOKEN},short", "at least 16 characters"),
        ("client_tokens", [""], "at least 16 characters"),
        ("client_tokens", " , ", "no token"),
        ("ssl_keyfile", "key.pem", "needs an ssl_certfile"),
        ("ssl_ca_certs", "ca.pem", "needs an ssl_certfile"),
    ],
)
def test_a_setting_that_would_allow_something_else_than_meant_is_told(name, value, said):
    with pytest.raises(ValidationError, match=said) as caught:
        Settings(**{name: value})
    assert "short" not in str(caught.value)


def test_hosts_and_origins_are_compared_in_one_form():
    settings = Settings(
        allowed_hosts="Shim.Example.,[2001:DB8::1]", allowed_origins="HTTPS://App.Example,file://"
    )
    assert settings.allowed_hosts == ("shim.example", "2001:db8::1")
    assert settings.allowed_origins == ("https://app.example", "file://")
