"""The published schemas: JSON Schema documents of every shape, and an OpenAPI 3.1 document of the endpoints.

They are generated from the types in this package, so they cannot disagree with the code; `schemas/` holds them as
files and a test compares the two.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode
from typing_extensions import TypedDict

from shim import __version__
from shim.errors import ErrorBody
from shim.wire.base import Json, exact
from shim.wire.chat import ChatChunk, ChatRequest
from shim.wire.events import Event
from shim.wire.request import CreateResponse
from shim.wire.response import Response

DIALECT = "https://json-schema.org/draft/2020-12/schema"


@exact
class ErrorResponse(TypedDict):
    """The body of every error response."""

    error: ErrorBody


_SHAPES: dict[str, tuple[Any, JsonSchemaMode, str]] = {
    "create-response": (CreateResponse, "validation", "What POST /v1/responses accepts."),
    "response": (Response, "serialization", "What POST /v1/responses answers."),
    "stream-event": (Event, "serialization", "One event of a response stream."),
    "error": (ErrorResponse, "serialization", "What every error answers."),
    "chat-request": (ChatRequest, "serialization", "What is sent upstream."),
    "chat-chunk": (
        ChatChunk,
        "validation",
        "What is read from upstream: a chunk or a whole chat completion.",
    ),
}


@cache
def documents() -> dict[str, Json]:
    """Every published document by its file name."""
    shapes = {f"{name}.json": _shape(name) for name in _SHAPES}
    return shapes | {"openapi.json": document()}


def _shape(name: str) -> Json:
    kind, mode, description = _SHAPES[name]
    schema = TypeAdapter(kind).json_schema(mode=mode)
    return {"$schema": DIALECT, "title": name, "x-version": __version__, **schema, "description": description}


@cache
def document() -> Json:
    """The OpenAPI document of the endpoints."""
    inputs = [(name, mode, TypeAdapter(kind)) for name, (kind, mode, _) in _SHAPES.items()]
    refs, shared = TypeAdapter.json_schemas(inputs, ref_template="#/components/schemas/{model}")
    schemas = {name: refs[name, mode] for name, mode, _ in inputs}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "grid-responses-shim",
            "version": __version__,
            "description": "OpenAI's Responses API on a Chat Completions upstream.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "http://127.0.0.1:4000"}],
        "paths": _paths(),
        "components": {
            "schemas": schemas | shared.get("$defs", {}),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}, {}],
    }


def _paths() -> dict[str, Json]:
    return {
        "/v1/responses": {"post": _create_response()},
        **_stored_paths(),
        "/v1/models": {
            "get": _get("listModels", "The instruments, for OpenAI clients (`data`) and Codex (`models`).")
        },
        "/v1/models/{model}": {
            "parameters": [
                {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}},
            ],
            "get": _get("retrieveModel", "One instrument.", 404),
        },
        "/v1/chat/completions": {"post": _chat_completion()},
        "/healthz": {"get": _get("health", "Whether the process is up.")},
        "/readyz": {"get": _get("readiness", "Whether requests can be served, and why not.", 503)},
        "/openapi.json": {"get": _get("openapi", "This document.")},
    }


_STORED = {
    "/v1/responses/compact": {"post": ("compactResponse", "A conversation as one compaction item.")},
    "/v1/responses/input_tokens": {"post": ("countInputTokens", "How many tokens a request is, estimated.")},
    "/v1/responses/{response_id}": {
        "get": ("retrieveResponse", "A stored response."),
        "delete": ("deleteResponse", "Delete a stored response."),
    },
    "/v1/responses/{response_id}/cancel": {"post": ("cancelResponse", "End a background response.")},
    "/v1/responses/{response_id}/input_items": {"get": ("listInputItems", "A turn's own input.")},
    "/v1/conversations": {"post": ("createConversation", "Create a conversation.")},
    "/v1/conversations/{conversation_id}": {
        "get": ("retrieveConversation", "A conversation."),
        "post": ("updateConversation", "Replace its metadata."),
        "delete": ("deleteConversation", "Delete it with its items."),
    },
    "/v1/conversations/{conversation_id}/items": {
        "get": ("listConversationItems", "Its items."),
        "post": ("createConversationItems", "Add items, at most 20."),
    },
    "/v1/conversations/{conversation_id}/items/{item_id}": {
        "get": ("retrieveConversationItem", "One item."),
        "delete": ("deleteConversationItem", "Delete one item."),
    },
}
"""What is kept on the server, by path and method: the operation and one line on it."""


def _stored_paths() -> dict[str, Json]:
    return {path: _stored_path(path, operations) for path, operations in _STORED.items()}


def _stored_path(path: str, operations: dict[str, tuple[str, str]]) -> Json:
    names = [segment[1:-1] for segment in path.split("/") if segment.startswith("{")]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
    ]
    methods = {method: _stored(method, *operation) for method, operation in operations.items()}
    return methods | ({"parameters": parameters} if parameters else {})


def _stored(method: str, operation: str, summary: str) -> Json:
    described = _get(operation, summary)
    described["responses"] |= _errors(400, 401, 404, 503)
    return described | ({"requestBody": _body({"type": "object"})} if method == "post" else {})


def _create_response() -> Json:
    answer = {
        "application/json": {"schema": _ref("response")},
        "text/event-stream": {"schema": {"type": "string", "description": "Events, each a `stream-event`."}},
    }
    return {
        "operationId": "createResponse",
        "summary": "Create a response, streamed or not.",
        "requestBody": _body(_ref("create-response")),
        "responses": {
            "200": {"description": "The response.", "content": answer},
            **_errors(400, 401, 413, 415, 429, 502),
        },
    }


def _chat_completion() -> Json:
    return {
        "operationId": "createChatCompletion",
        "summary": "A chat completion, passed through as it is.",
        "requestBody": _body({"type": "object"}),
        "responses": {
            "200": {"description": "What the upstream answered."},
            **_errors(400, 401, 413, 415, 429, 502),
        },
    }


def _get(operation: str, summary: str, *errors: int) -> Json:
    content = {"application/json": {"schema": {"type": "object"}}}
    answers = {"200": {"description": summary, "content": content}}
    failed = {str(code): {"description": "Not so.", "content": content} for code in errors}
    return {"operationId": operation, "summary": summary, "responses": answers | failed}


def _body(schema: Json) -> Json:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _errors(*codes: int) -> Json:
    content = {"application/json": {"schema": _ref("error")}}
    return {str(code): {"description": "An error.", "content": content} for code in codes}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}
