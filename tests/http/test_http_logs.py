"""The access log: one line per request that nobody can forge, and nothing secret in it."""

import io
import json
import logging
import os

import pytest
from http_fakes import FakeTurn

from shim.errors import ClientFault
from shim.exchange import Summary
from shim.http.call import Call
from shim.http.lines import Lines
from shim.http.logs import (
    LONGEST_VALUE,
    MOST_NOTES,
    JsonFormatter,
    TextFormatter,
    call_fields,
    call_line,
    configure_logging,
    log_call,
    word,
)
from shim.settings import Settings


@pytest.fixture
def log():
    """What the shim's loggers write, through the formatters of both kinds."""
    logger = logging.getLogger("shim")
    text, machine = io.StringIO(), io.StringIO()
    handlers = [logging.StreamHandler(text), logging.StreamHandler(machine)]
    handlers[0].setFormatter(TextFormatter())
    handlers[1].setFormatter(JsonFormatter())
    level = logger.level
    logger.setLevel(logging.INFO)
    for handler in handlers:
        logger.addHandler(handler)
    yield text, machine
    for handler in handlers:
        logger.removeHandler(handler)
    logger.setLevel(level)


SUMMARY = Summary(
    model="gpt-5",
    served_model="openai/gpt-oss-120b",
    items=2,
    outcome="completed",
    first_token_ms=12.4,
    input_tokens=10,
    output_tokens=0,
    notes=("one", "two"),
)


async def test_a_turn_is_one_line_with_what_it_took(serve, exchange, log):
    exchange.turns.append(FakeTurn(b"data: 0\n\n", summary=SUMMARY))
    async with serve() as client:
        reply = await client.post("/v1/responses", json={"model": "gpt-5", "input": "secret text"})
    (line,) = log[0].getvalue().splitlines()
    assert "POST /v1/responses 200 completed" in line
    assert "model=gpt-5 served_model=openai/gpt-oss-120b items=2 first_token_ms=12 input_tokens=10" in line
    assert "output_tokens=0" in line
    assert "cached_tokens" not in line
    assert "notes=2" in line
    assert line.endswith(f"request_id={reply.headers['x-request-id']}")
    fields = json.loads(log[1].getvalue())
    assert (fields["model"], fields["status"], fields["output_tokens"]) == ("gpt-5", 200, 0)


async def test_neither_bodies_nor_keys_are_logged(serve, exchange, log):
    exchange.turns.append(ClientFault("The input 'secret text' is bad.", code="invalid_value"))
    async with serve(key="sk-secret") as client:
        headers = {"authorization": "Bearer sk-client"}
        await client.post(
            "/v1/responses?api_key=sk-q", json={"model": "m", "input": "secret text"}, headers=headers
        )
    for out in log:
        assert "secret" not in out.getvalue()
        assert "sk-" not in out.getvalue()
        assert "invalid_value" in out.getvalue()


@pytest.mark.parametrize(
    "name", ['x\n12:00:00 POST /v1/responses 200 outcome="fine" status=200 \u2028', "x\n12:00:00"]
)
async def test_a_model_s_name_cannot_forge_a_line_or_a_word(serve, exchange, log, name):
    exchange.turns.append(ClientFault("No."))
    async with serve() as client:
        await client.post("/v1/responses", json={"model": name})
        await client.get("/v1/a%0Ab%20c")
    first, second = log[0].getvalue().splitlines()
    assert f"model={json.dumps(name)}" in first
    assert 'GET "/v1/a\\nb c" 404' in second
    assert len(log[1].getvalue().splitlines()) == 2


@pytest.mark.parametrize("model", ["b" * 1000, "\n".join(["b" * 100] * 1000), "\n"])
def test_a_line_has_one_short_word_for_each_field_however_much_a_client_says(model):
    fields = call_fields(Call("POST", "/", status=200, model=model))
    line = call_line(fields)
    assert len(line.split()) == len(fields)
    assert len(line) < 500


def test_a_line_for_machines_is_short_however_much_a_client_says():
    most, longest = MOST_NOTES + 5, "x" * (LONGEST_VALUE + 5)
    summary = Summary(model=longest, notes=(longest, *map(str, range(most - 1))))
    line = record("")
    line.fields = call_fields(Call("POST", "/", status=200, summary=summary))
    entry = json.loads(JsonFormatter().format(line))
    assert entry["model"] == f"{longest[:LONGEST_VALUE]}… ({len(longest)} characters)"
    assert entry["notes"] == [entry["model"], *map(str, range(MOST_NOTES - 1)), "and 5 more"]
    assert f" notes={most}" in call_line(line.fields)


def test_what_is_just_short_enough_is_logged_whole():
    notes = ("x" * LONGEST_VALUE, *map(str, range(MOST_NOTES - 1)))
    line = record("")
    line.fields = call_fields(Call("POST", "/", summary=Summary(model="m", notes=notes)))
    assert json.loads(JsonFormatter().format(line))["notes"] == list(notes)


async def test_probes_are_logged_only_when_debugging(serve, log):
    async with serve() as client:
        await client.get("/healthz")
        await client.get("/readyz")
    assert log[0].getvalue() == ""


def test_the_edge_knows_better_than_the_turn_how_a_request_ended():
    call = Call("POST", "/v1/responses", status=200, summary=SUMMARY, outcome="client_gone")
    assert call_line(call_fields(call)).startswith("POST /v1/responses 200 client_gone ")


def test_the_code_is_the_turn_s_where_the_answer_was_already_on_its_way():
    summary = Summary(model="m", outcome="failed", error_code="server_error")
    assert call_fields(Call("POST", "/", status=200, summary=summary))["code"] == "server_error"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("gpt-5", "gpt-5"),
        (12, "12"),
        ("a b", '"a b"'),
        ("", '""'),
        ('"', '"\\""'),
        ("é", '"\\u00e9"'),
        ("a\x7f", '"a\\u007f"'),
        ("x" * 999, "x" * 120),
    ],
)
def test_a_word_is_plain_or_quoted_and_short(value, written):
    assert word(value) == written


def record(message, exc_info=None):
    return logging.LogRecord("shim.x", logging.ERROR, __file__, 1, message, (), exc_info)


HOSTILE = "first\nERROR second\r12:00 forged \x1b[31m\u2028third\u202e"


def raised():
    error = ValueError(HOSTILE)
    return (ValueError, error, None)


def test_only_the_log_itself_begins_a_line():
    text = TextFormatter().format(record("what\n12:00 forged", raised()))
    head, *rest = text.split("\n")
    assert "what\\n12:00 forged" in head
    assert all(line.startswith("    ") for line in rest)
    assert "second" in text


@pytest.mark.parametrize("formatter", [TextFormatter, JsonFormatter])
def test_nothing_from_outside_moves_a_terminal_or_breaks_a_line(formatter):
    """Escapes, returns and separators that some readers take for the end of a line."""
    text = formatter().format(record(HOSTILE, raised()))
    assert all(line.isprintable() for line in text.split("\n"))
    assert len(text.splitlines()) == len(text.split("\n"))


def test_a_record_for_machines_is_one_object_with_its_traceback_inside():
    try:
        {}["oh"]
    except KeyError as error:
        entry = json.loads(JsonFormatter().format(record("what", (KeyError, error, error.__traceback__))))
    assert (entry["level"], entry["logger"], entry["message"]) == ("error", "shim.x", "what")
    assert "KeyError: 'oh'" in entry["exception"]


@pytest.fixture
def restored_loggers():
    names = ("shim", "uvicorn", "uvicorn.access")
    loggers = [logging.getLogger(name) for name in names]
    before = [(list(each.handlers), each.level, each.propagate, each.disabled) for each in loggers]
    yield
    for logger, (handlers, level, propagate, disabled) in zip(loggers, before, strict=True):
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate, logger.disabled = propagate, disabled


@pytest.mark.parametrize(("chosen", "formatter"), [("text", TextFormatter), ("json", JsonFormatter)])
def test_logging_is_configured_once_however_often_it_is_asked_for(
    restored_loggers, capsys, chosen, formatter
):
    for _ in range(2):
        configure_logging(Settings(log_format=chosen, log_level="warning"))
    (handler,) = logging.getLogger("shim").handlers
    assert isinstance(handler.formatter, formatter)
    logging.getLogger("shim.access").info("quiet")
    logging.getLogger("shim.http").warning("loud")
    assert capsys.readouterr().err.count("loud") == 1
    assert "quiet" not in capsys.readouterr().err


@pytest.fixture
def written(restored_loggers):
    """The access log's handler as `configure_logging` sets it, and what comes out of it since the last time."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    handler = Lines(writing)
    handler.setFormatter(TextFormatter())
    logger = logging.getLogger("shim")
    logger.propagate = False
    logger.setLevel(logging.INFO)

    def new():
        try:
            return os.read(reading, 65536).decode()
        except BlockingIOError:
            return ""

    yield handler, new
    os.close(reading)
    os.close(writing)


def only(handler):
    """Leave no other handler, such as pytest's own."""
    logging.getLogger("shim").handlers[:] = [handler]


def test_a_line_is_the_same_whoever_else_listens(written, monkeypatch):
    handler, new = written
    only(handler)
    monkeypatch.setattr("shim.http.logs._clock", lambda _: "12:00:00")
    call = Call("POST", "/v1/responses", status=200, summary=SUMMARY)
    monkeypatch.setattr(Call, "elapsed_ms", 7)
    log_call(call)
    alone = new()
    assert alone.startswith("12:00:00 POST /v1/responses 200 completed model=gpt-5 ")
    other = logging.StreamHandler(io.StringIO())
    for logger in (logging.getLogger("shim"), logging.getLogger("shim.access")):
        logger.addHandler(other)
        log_call(call)
        logger.removeHandler(other)
        assert new() == alone
    assert other.stream.getvalue().count("POST /v1/responses 200 completed") == 2


@pytest.mark.parametrize("where", ["handler", "logger"])
def test_a_filter_hears_of_requests(written, where):
    handler, new = written
    only(handler)
    filtered = handler if where == "handler" else logging.getLogger("shim.access")
    filtered.addFilter(nothing := lambda _: False)
    log_call(Call("POST", "/v1/responses", status=200))
    filtered.removeFilter(nothing)
    assert new() == ""


def test_a_handler_for_worse_hears_of_no_request(written):
    handler, new = written
    only(handler)
    handler.setLevel(logging.WARNING)
    log_call(Call("POST", "/v1/responses", status=200))
    assert new() == ""
