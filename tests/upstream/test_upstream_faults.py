import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.core.faults import LONGEST_MESSAGE, WRONG_PATH, fault_from_error
from shim.core.profile import Instrument
from shim.errors import ClientFault, Fault, UpstreamFault
from shim.upstream.catalog import GRID_FALLBACK, NOTHING, Catalog
from shim.upstream.faults import about_key, about_model, refusal

SAID = "temperature must be at most 2"
GRID = {"errors": {"detail": SAID}}

SHAPES = {
    "the grid": GRID,
    "the grid, list": {"errors": {"detail": [SAID]}},
    "the grid, fields": {"errors": [SAID]},
    "the grid, text": {"errors": SAID},
    "openai": {
        "error": {"message": SAID, "type": "invalid_request_error", "param": "temperature", "code": None}
    },
    "text": {"error": SAID},
    "fastapi text": {"detail": SAID},
    "fastapi object": {"detail": {"message": SAID}},
    "message": {"object": "error", "message": SAID},
    "gemini": [{"error": {"code": 400, "message": SAID, "status": "INVALID_ARGUMENT"}}],
    "wrapped": {"error": {"message": json.dumps({"error": {"message": SAID}})}},
    "wrapped body": json.dumps({"error": {"message": SAID}}),
    "plain": SAID,
    "title": {"title": SAID, "status": 400},
    "controls": f"\x00{SAID}\x1b\n",
}


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "wrapped"])
def test_every_envelope_gives_its_message(name):
    fault = fault_from_error(SHAPES[name], 400)
    assert (type(fault), fault.message, fault.status) == (ClientFault, SAID, 400)
    assert fault.type == "invalid_request_error"


def test_a_message_that_is_json_once_more_is_shown_as_it_is_or_read():
    assert SAID in fault_from_error(SHAPES["wrapped"], 400).message


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (
            {
                "detail": [
                    {"loc": ["body", "top_p"], "msg": "too high"},
                    {"loc": ["body", "n"], "msg": "not a number"},
                ]
            },
            "body.top_p: too high; body.n: not a number",
        ),
        (
            {"errors": {"detail": {"max_tokens": ["must be less than 4"], "n": 3}}},
            "max_tokens: must be less than 4; n: 3",
        ),
        (
            {
                "error": {
                    "message": "Provider returned error",
                    "metadata": {"raw": '{"error":{"message":"bad image"}}'},
                }
            },
            "Provider returned error: bad image",
        ),
        (
            {"error": {"message": "Provider returned error", "metadata": {"raw": ""}}},
            "Provider returned error",
        ),
        (
            {"error": {"message": "Provider returned error", "metadata": {"raw": {}}}},
            "Provider returned error",
        ),
        ({"message": "sent Bearer sk-123 along"}, "sent Bearer [key] along"),
        ({"a": {"b": {"c": {"d": {"e": {"f": {"g": "deep"}}}}}}}, "The upstream answered with HTTP 400."),
        ({"error": {}}, "The upstream answered with HTTP 400."),
        ([], "The upstream answered with HTTP 400."),
        (None, "The upstream answered with HTTP 400."),
        ("", "The upstream answered with HTTP 400."),
        (7, "The upstream answered with HTTP 400."),
        ({"x": None, "y": True, "z": object()}, "y: True"),
        ("{not json", "{not json"),
        ('{"a"' + "[" * 10, '{"a"[[[[[[[[[['),
        (
            "<html><title>Bad &amp; ugly</title><p>secret stack</html>",
            "The upstream answered with HTTP 400: Bad & ugly.",
        ),
        ("<!DOCTYPE html><h1>secret</h1>", "The upstream answered with HTTP 400."),
    ],
)
def test_a_message_is_one_safe_line(payload, message):
    assert fault_from_error(payload, 400).message == message


def test_a_message_is_bounded():
    assert len(fault_from_error({"error": "x" * 10_000}, 400).message) == LONGEST_MESSAGE
    assert len(fault_from_error("[" * 100_000, 400).message) == LONGEST_MESSAGE


MEANINGS = [
    # status, payload, kind, status, type, code, param, retry_after
    (401, GRID, ClientFault, 401, "invalid_request_error", "invalid_api_key", None, None),
    (401, None, ClientFault, 401, "invalid_request_error", "invalid_api_key", None, None),
    (402, GRID, UpstreamFault, 429, "insufficient_quota", "insufficient_quota", None, 60),
    (402, None, UpstreamFault, 429, "insufficient_quota", "insufficient_quota", None, 60),
    (403, GRID, ClientFault, 403, "invalid_request_error", "permission_denied", None, None),
    (403, {"error": {"code": "region"}}, ClientFault, 403, "invalid_request_error", "region", None, None),
    (404, {"error": {"message": "gpt-4o is unknown"}}, ClientFault, 400, "invalid_request_error", "model_not_found", "model", None),
    (404, {"errors": {"detail": "Instrument not found"}}, ClientFault, 400, "invalid_request_error", "model_not_found", "model", None),
    (404, {"errors": {"detail": "Not Found"}}, UpstreamFault, 502, "server_error", WRONG_PATH, None, None),
    (404, {"detail": "Not Found"}, UpstreamFault, 502, "server_error", WRONG_PATH, None, None),
    (404, "404 page not found", UpstreamFault, 502, "server_error", WRONG_PATH, None, None),
    (404, "<html></html>", UpstreamFault, 502, "server_error", WRONG_PATH, None, None),
    (404, None, UpstreamFault, 502, "server_error", WRONG_PATH, None, None),
    (405, {"detail": "Method Not Allowed"}, UpstreamFault, 502, "server_error", WRONG_PATH, None, None),
    (400, {"error": {"message": "m", "code": "model_not_found"}}, ClientFault, 400, "invalid_request_error", "model_not_found", "model", None),
    (400, "The model `x/y-1` does not exist or you do not have access to it.", ClientFault, 400, "invalid_request_error", "model_not_found", "model", None),
    (400, "x is not a valid model ID", ClientFault, 400, "invalid_request_error", "model_not_found", "model", None),
    (400, {"error": {"message": "Model Not Exist"}}, ClientFault, 400, "invalid_request_error", "model_not_found", "model", None),
    (404, {"error": 'model "x" not found, try pulling it first'}, ClientFault, 400, "invalid_request_error", "model_not_found", "model", None),
    (400, "The model's parameter logprobs is not supported", ClientFault, 400, "invalid_request_error", None, None, None),
    (400, "Unsupported model parameter: logprobs", ClientFault, 400, "invalid_request_error", None, None, None),
    (400, {"error": {"message": "m", "param": "top_p", "code": "bad_value"}}, ClientFault, 400, "invalid_request_error", "bad_value", "top_p", None),
    (400, {"error": {"message": "m", "code": 400, "param": 3}}, ClientFault, 400, "invalid_request_error", None, None, None),
    (422, {"detail": [{"loc": ["x"], "msg": "m"}]}, ClientFault, 400, "invalid_request_error", None, None, None),
    (418, "teapot", ClientFault, 400, "invalid_request_error", None, None, None),
    (400, "prompt is too long: 3 > 2", ClientFault, 400, "invalid_request_error", "context_length_exceeded", "input", None),
    (500, "context size has been exceeded", ClientFault, 400, "invalid_request_error", "context_length_exceeded", "input", None),
    (413, None, ClientFault, 400, "invalid_request_error", "context_length_exceeded", "input", None),
    (413, {"error": {"message": "Limit 6000 TPM", "code": "rate_limit_exceeded"}}, ClientFault, 400, "invalid_request_error", "rate_limit_exceeded", None, None),
    (429, "prompt is too long for tier", UpstreamFault, 429, "requests", "rate_limit_exceeded", None, 2),
    (429, None, UpstreamFault, 429, "requests", "rate_limit_exceeded", None, 2),
    (429, {"error": {"code": "insufficient_quota"}}, UpstreamFault, 429, "insufficient_quota", "insufficient_quota", None, 60),
    (408, None, UpstreamFault, 504, "server_error", "server_error", None, None),
    (409, GRID, UpstreamFault, 503, "server_error", "server_error", None, None),
    (500, GRID, UpstreamFault, 500, "server_error", "server_error", None, None),
    (502, "<html><title>502 Bad Gateway</title></html>", UpstreamFault, 502, "server_error", "server_error", None, None),
    (503, {"error": {"message": "overloaded", "code": "server_is_overloaded"}}, UpstreamFault, 503, "server_error", "server_error", None, None),
    (504, None, UpstreamFault, 504, "server_error", "server_error", None, None),
    (529, {"error": {"type": "overloaded_error"}}, UpstreamFault, 503, "server_error", "server_error", None, None),
    (520, None, UpstreamFault, 502, "server_error", "server_error", None, None),
    # inside a stream
    (None, {"error": {"message": "m", "code": 429}}, UpstreamFault, 429, "requests", "rate_limit_exceeded", None, 2),
    (None, {"error": {"message": "m", "code": "502"}}, UpstreamFault, 502, "server_error", "server_error", None, None),
    (None, {"error": {"message": "m", "code": 7, "type": "overloaded_error"}}, UpstreamFault, 503, "server_error", "server_error", None, None),
    (None, {"error": {"message": "m", "code": "insufficient_quota"}}, UpstreamFault, 429, "insufficient_quota", "insufficient_quota", None, 60),
    (None, {"error": {"message": "m", "type": "BadRequestError"}}, ClientFault, 400, "invalid_request_error", None, None, None),
    (None, {"error": {"message": "m", "type": "invalid_request_error"}}, ClientFault, 400, "invalid_request_error", None, None, None),
    (None, {"error": {"message": "request exceeds the available context size"}}, ClientFault, 400, "invalid_request_error", "context_length_exceeded", "input", None),
    (None, {"error": {"message": "something"}}, UpstreamFault, 502, "server_error", "server_error", None, None),
    (None, None, UpstreamFault, 502, "server_error", "server_error", None, None),
]  # fmt: skip


@pytest.mark.parametrize(("status", "payload", "kind", "ours", "type_", "code", "param", "after"), MEANINGS)
def test_an_error_leaves_as_openai_would_say_it(status, payload, kind, ours, type_, code, param, after):
    fault = fault_from_error(payload, status)
    assert (type(fault), fault.status, fault.type, fault.code, fault.param, fault.retry_after) == (
        kind,
        ours,
        type_,
        code,
        param,
        after,
    )
    assert fault.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["error", "errors", "detail", "message", "code"]) | st.text(), inner),
    max_leaves=12,
)  # fmt: skip


@given(JSON, st.none() | st.integers(300, 600))
def test_any_error_object_gives_a_fault_that_can_be_shown(payload, status):
    fault = fault_from_error(payload, status)
    assert isinstance(fault, Fault)
    assert 400 <= fault.status < 600
    assert 0 < len(fault.message) <= LONGEST_MESSAGE + 100
    assert fault.message.isprintable() or not any(ord(char) < 32 for char in fault.message)
    json.dumps(fault.body).encode()


def answer(status: int, body: object = None, **headers: str):
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return refusal(status, httpx.Headers(fields), b"" if body is None else json.dumps(body).encode())


def test_a_retry_after_goes_on_in_whole_seconds():
    assert answer(429, retry_after="1.2").fault.retry_after == 2
    assert answer(503, retry_after_ms="2500").fault.retry_after == 3
    assert answer(503).fault.retry_after is None
    assert answer(429).fault.retry_after == 2
    assert answer(400, retry_after="9").fault.retry_after is None


@pytest.mark.parametrize("absurd", ["1e308", "9" * 100, "Fri, 31 Dec 9999 23:59:59 GMT", "86401"])
def test_a_client_is_told_to_wait_for_a_day_at_most(absurd):
    assert answer(429, retry_after=absurd).fault.retry_after == 24 * 60 * 60


@pytest.mark.parametrize(
    ("status", "body", "again"),
    [
        (402, None, True),
        (429, None, True),
        (500, None, True),
        (529, None, True),
        (429, {"error": {"code": "insufficient_quota"}}, False),
        (500, {"error": "context length exceeded"}, False),
        (400, None, False),
        (401, None, False),
        (404, None, False),
        (501, None, False),
    ],
)
def test_only_what_may_pass_is_tried_again(status, body, again):
    assert answer(status, body).again is again


def test_a_body_that_is_no_json_is_read_as_text():
    assert refusal(400, httpx.Headers(), b"plain \xff words").fault.message == "plain \ufffd words"
    assert refusal(400, httpx.Headers(), b"[" * 60_000).fault.message.startswith("[[")


URL = httpx.URL("https://api.thegrid.ai/v1/chat/completions?x=secret")
SERVED = Catalog((Instrument("code-max"), Instrument("text-max")))


def test_an_unknown_model_is_answered_with_the_list():
    fault = about_model(fault_from_error("model not found", 404), "gpt-4o", SERVED, URL)
    assert fault.message == "The model 'gpt-4o' does not exist. Available: code-max, text-max."
    assert (fault.code, fault.param, fault.status) == ("model_not_found", "model", 400)


def test_a_bare_404_is_the_model_if_the_catalog_lacks_it():
    fault = about_model(fault_from_error({"errors": {"detail": "Not Found"}}, 404), "gpt-4o", SERVED, URL)
    assert fault.code == "model_not_found"


@pytest.mark.parametrize(
    ("model", "catalog"), [("code-max", SERVED), ("gpt-4o", GRID_FALLBACK), ("x", NOTHING), (None, SERVED)]
)
def test_a_bare_404_is_the_path_if_nothing_speaks_for_the_model(model, catalog):
    fault = about_model(fault_from_error("Not Found", 404), model, catalog, URL)
    assert fault.status == 502
    assert "base URL looks wrong" in fault.message
    assert "https://api.thegrid.ai/v1/chat/completions" in fault.message
    assert "secret" not in fault.message


def test_the_upstreams_own_words_stay_where_the_list_would_contradict_or_is_missing():
    said = fault_from_error({"error": "no endpoints found for it"}, 404)
    assert about_model(said, "code-max", SERVED, URL) is said
    assert about_model(said, "x", NOTHING, URL) is said
    assert about_model(said, None, SERVED, URL).message.startswith("no endpoints found for it Available: ")


def test_a_long_list_is_cut():
    many = Catalog(tuple(Instrument(f"m{number}") for number in range(70)))
    assert about_model(fault_from_error("model not found", 404), "x", many, URL).message.endswith(
        "m59 and 10 more."
    )


def test_the_grids_401_names_the_kind_of_key():
    assert "Consumption key" in about_key(fault_from_error("Unauthorized", 401)).message


def test_an_endless_envelope_ends():
    payload: object = "said"
    for _ in range(20):
        payload = {"error": {"error": payload}}
    assert fault_from_error(payload, 400).status == 400
