"""Who is let in, and whose key goes upstream."""

import os

import pytest

from shim.errors import ClientFault
from shim.http import Misconfigured, create_app
from shim.http.call import Call
from shim.http.guards import Guard, presented_keys
from shim.settings import Settings

ONE, TWO, ODD = "token-number-one", "token-number-two", "tökens-may-be-odd"


def guard(**settings):
    return Guard.of(Settings(**settings))


def asked(**headers):
    """A request with these headers."""
    return Call("POST", "/v1/responses", latin(headers))


def latin(headers):
    return {name.replace("_", "-").encode(): value.encode("latin-1") for name, value in headers.items()}


def bearer(key):
    return asked(authorization=f"Bearer {key}")


def test_a_configured_key_serves_everyone_and_a_dummy_key_is_ignored():
    assert guard(key="sk-up").key(bearer("dummy")) == "sk-up"
    assert guard(key="sk-up").key(asked()) == "sk-up"


def test_without_a_configured_key_the_client_s_own_passes_through():
    assert guard().key(bearer("sk-mine")) == "sk-mine"


def test_the_profile_s_variable_is_the_configured_key(monkeypatch):
    monkeypatch.setenv("THEGRID_API_KEY", "sk-env")
    assert guard().key(bearer("sk-mine")) == "sk-env"


def test_no_key_at_all_is_401_that_says_what_to_set():
    with pytest.raises(ClientFault) as caught:
        guard().key(asked())
    assert caught.value.status == 401
    assert "THEGRID_API_KEY" in caught.value.message
    assert "Bearer" in caught.value.message


def test_an_upstream_without_keys_needs_none():
    assert guard(profile="ollama").key(asked()) is None


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "api-key"])
def test_a_client_token_lets_in_and_is_never_forwarded(header):
    value = f"Bearer {TWO}" if header == "authorization" else TWO
    guarded = guard(key="sk-up", client_tokens=f"{ONE},{TWO}")
    assert guarded.key(asked(**{header: value})) == "sk-up"


def test_a_client_token_is_not_forwarded_to_an_upstream_without_keys():
    assert guard(profile="ollama", client_tokens=ONE).key(bearer(ONE)) is None


def test_a_token_may_hold_any_characters():
    guarded = guard(key="sk-up", client_tokens=ODD)
    assert guarded.key(Call("GET", "/", {b"x-api-key": ODD.encode()})) == "sk-up"


def test_a_token_in_the_environment_may_hold_any_bytes(monkeypatch):
    monkeypatch.setenv("GRID_SHIM_CLIENT_TOKENS", os.fsdecode(b"\xff" * 16))
    guarded = guard(key="sk-up")
    assert guarded.key(Call("GET", "/", {b"x-api-key": b"\xff" * 16})) == "sk-up"


@pytest.mark.parametrize("call", [asked(), bearer(ONE + "x"), bearer(ONE[:-1]), asked(x_api_key="tök")])
@pytest.mark.parametrize("ask", ["key", "admit"])
def test_a_wrong_or_missing_token_is_401_even_with_a_key(call, ask):
    with pytest.raises(ClientFault) as caught:
        getattr(guard(key="sk-up", client_tokens=f"{ONE},{TWO}"), ask)(call)
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")
    assert ONE[:-1] not in caught.value.message


def test_who_has_a_token_is_known_by_it_and_not_by_a_key_beside_it():
    guarded = guard(key="sk-up", client_tokens=f"{ONE},{TWO}")
    beside = [asked(authorization="Bearer dummy", x_api_key=token) for token in (ONE, TWO)]
    assert [guarded.caller(call).identity for call in beside] == [ONE, TWO]
    assert guarded.caller(bearer(ONE)).identity == ONE


def test_without_tokens_a_client_is_known_by_what_it_presents_first():
    assert guard(key="sk-up").caller(bearer("dummy")).identity == "dummy"
    assert guard(key="sk-up").caller(asked()).identity == ""


def test_tokens_without_a_key_for_the_upstream_are_a_mistake_told_at_the_start():
    with pytest.raises(Misconfigured, match="THEGRID_API_KEY"):
        create_app(Settings(client_tokens=ONE))


@pytest.mark.parametrize(
    ("headers", "keys"),
    [
        ({"authorization": "Bearer sk"}, ["sk"]),
        ({"authorization": "bearer   sk "}, ["sk"]),
        ({"authorization": "sk"}, ["sk"]),
        ({"authorization": "Bearer"}, []),
        ({"authorization": "Bearer "}, []),
        ({"authorization": "Basic c2s="}, []),
        ({"authorization": "Bearer a b"}, []),
        ({"x-api-key": " sk "}, ["sk"]),
        ({"authorization": "Bearer one", "api-key": "two"}, ["one", "two"]),
        ({}, []),
    ],
)
def test_keys_are_found_however_they_are_presented(headers, keys):
    assert presented_keys(latin(headers)) == keys


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/responses"),
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/code-prime"),
        ("GET", "/v1/responses/resp_x"),
    ],
)
async def test_every_part_of_the_api_asks_for_the_token(serve, method, path):
    async with serve(client_tokens=ONE) as client:
        reply = await client.request(method, path, content=b"{}" if method == "POST" else None)
    assert reply.status_code == 401
    assert reply.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
async def test_probes_ask_for_no_token(serve, path):
    async with serve(client_tokens=ONE) as client:
        assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize(("first", "second", "status"), [(ONE, TWO, 200), (TWO, ONE, 401)])
async def test_of_repeated_headers_the_first_counts(serve, first, second, status):
    async with serve(client_tokens=ONE) as client:
        headers = [("authorization", f"Bearer {token}") for token in (first, second)]
        assert (await client.get("/v1/models", headers=headers)).status_code == status
