"""Whatever the OpenAPI document allows, and what it does not, is answered as it says, and never with a fault of ours.

The real endpoint with its store, in front of the simulated Grid, both on loopback. Half of the ids and model names that
Schemathesis draws are replaced by those of things that exist.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from types import SimpleNamespace

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    negative_data_rejection,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from shim.cli import server
from shim.http.routes import ROUTES
from shim.settings import Settings
from shim.simulator import DEFAULT_KEY, run_in_thread
from shim.wire.openapi import document

MODEL = "code-prime"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
OPERATIONS = {
    operation.definition.raw["operationId"]: operation
    for operation in (
        result.ok() for result in schemathesis.openapi.from_dict(document()).get_all_operations()
    )
}
DRAWN = settings(
    max_examples=10,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    """The endpoint's address, and what exists on it."""
    with ExitStack() as stack:
        grid = stack.enter_context(run_in_thread())
        configured = Settings(
            upstream=grid.base_url,
            key=DEFAULT_KEY,
            seal_key="openapi",
            store="memory",
            retry_attempts=1,
            profile="grid",
        )
        base_url = stack.enter_context(server.in_thread(configured, server.bind("127.0.0.1", 0)))
        yield SimpleNamespace(url=base_url.removesuffix("/v1"), things=things(base_url))


def things(base_url):
    """Something of each kind, by the name that it has in a path."""
    with httpx.Client(base_url=base_url, trust_env=False) as http:

        def made(path, **body):
            answer = http.post(path, json=body)
            assert answer.status_code == 200, answer.text
            return answer.json()

        response = made("/responses", model=MODEL, input="hi", background=True)
        conversation = made("/conversations", items=[{"role": "user", "content": "hi"}])
        (item,) = http.get(f"/conversations/{conversation['id']}/items").json()["data"]
    return {
        "response_id": response["id"],
        "conversation_id": conversation["id"],
        "item_id": item["id"],
        "model": MODEL,
        "previous_response_id": response["id"],
        "conversation": conversation["id"],
    }


def real(draw, drawn, known):
    """What was drawn, with some names of things that exist."""
    if isinstance(drawn, dict):
        for name in known.keys() & drawn.keys():
            if draw(st.booleans()):
                drawn[name] = known[name]


def asks(operation):
    """Whether there is anything that a client could say wrongly: a body or a query."""
    described = operation.definition.raw
    return "requestBody" in described or "parameters" in described


def check(endpoint, data, operation, mode, *further):
    case = data.draw(OPERATIONS[operation].as_strategy(generation_mode=mode))
    for part in (case.path_parameters, case.body):
        real(data.draw, part, endpoint.things)
    response = case.call(base_url=endpoint.url, timeout=30)
    case.validate_response(response, checks=[*CHECKS, *further])


@pytest.mark.parametrize("operation", OPERATIONS)
@DRAWN
@given(data=st.data())
def test_what_the_document_allows_is_answered_as_it_says(endpoint, operation, data):
    check(endpoint, data, operation, GenerationMode.POSITIVE)


@pytest.mark.parametrize("operation", [name for name, operation in OPERATIONS.items() if asks(operation)])
@DRAWN
@given(data=st.data())
def test_what_the_document_does_not_allow_is_answered_as_it_says(endpoint, operation, data):
    is_query = "requestBody" not in OPERATIONS[operation].definition.raw  # bodies are read leniently
    check(endpoint, data, operation, GenerationMode.NEGATIVE, *[negative_data_rejection] * is_query)


def test_the_document_names_every_route_and_no_other():
    def unnamed(path):
        return re.sub(r"{[^}]*}", "{}", path.removeprefix("/v1"))

    served = {(unnamed(route.path), method) for route in ROUTES for method in route.methods}
    described = {(unnamed(path), method.upper()) for path, of in document()["paths"].items() for method in of}
    without = {("/", "GET")} | {(path, method) for path, method in served if method == "HEAD"}
    assert described - {(path, "PARAMETERS") for path, _ in described} == served - without


def test_what_any_operation_may_answer_is_described():
    described = [(path, method, of["responses"].keys()) for path, method, of in methods()]
    for path, method, answers in described:
        if path not in ("/healthz", "/v1/chat/completions"):
            assert "503" in answers, path
        if method == "post" and path.startswith("/v1/") and "default" not in answers and "cancel" not in path:
            assert {"408", "413", "415"} <= answers, path


def methods():
    return [
        (path, method, of)
        for path, operations in document()["paths"].items()
        for method, of in operations.items()
        if method != "parameters"
    ]
