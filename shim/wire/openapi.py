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
from shim.wire.operations import GUARDED, MODEL, OPERATIONS, SHAPES, Operation
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
    shapes = {name: (kind, mode) for name, (kind, mode, _) in _SHAPES.items()} | SHAPES
    inputs = [(name, mode, TypeAdapter(kind)) for name, (kind, mode) in shapes.items()]
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
            "schemas": schemas | {"model": MODEL} | shared.get("$defs", {}),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}, {}],
    }


def _paths() -> dict[str, Json]:
    paths = {path: _path(path, operations) for path, operations in OPERATIONS.items()}
    return paths | {"/v1/chat/completions": {"post": _chat_completion()}}


def _path(path: str, operations: dict[str, Operation]) -> Json:
    names = [segment[1:-1] for segment in path.split("/") if segment.startswith("{")]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
    ]
    methods = {method: _described(operation) for method, operation in operations.items()}
    return methods | ({"parameters": parameters} if parameters else {})


def _described(operation: Operation) -> Json:
    content: Json = {"application/json": {"schema": _schema(operation.answer)}}
    if operation.streams:
        content["text/event-stream"] = {"schema": _EVENT}
    described: Json = {"operationId": operation.id, "summary": operation.summary}
    if operation.query:
        described["parameters"] = [
            {"name": name, "in": "query", "required": False, "schema": schema}
            for name, schema in operation.query
        ]
    if operation.body is not None:
        body = {"content": {"application/json": {"schema": _schema(operation.body)}}}
        described["requestBody"] = {"required": not operation.optional, **body}
    answers: Json = {"200": {"description": operation.summary, "content": content}}
    if operation.id == "readiness":
        answers["503"] = {"description": "Not now.", "content": content}
    described["responses"] = answers | _errors(*(GUARDED if operation.guarded else (403,)), *operation.errors)
    if not operation.guarded:
        described["security"] = []
    return described


_EVENT: Json = {
    "type": "object",
    "description": "One event of the stream.",
    "properties": {
        "event": {"type": "string"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/stream-event"},
        },
    },
    "required": ["event", "data"],
}


def _chat_completion() -> Json:
    """What is passed through, with whatever status and type the upstream answers."""
    return {
        "operationId": "createChatCompletion",
        "summary": "A chat completion, passed through as it is.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
        "responses": {
            "200": {"description": "What the upstream answered."},
            "default": {"description": "What the upstream answered, or an error of this endpoint's own."},
        },
    }


def _schema(shape: str | Json) -> Json:
    return {"$ref": f"#/components/schemas/{shape}"} if isinstance(shape, str) else shape


def _errors(*codes: int) -> Json:
    content = {"application/json": {"schema": _schema("error")}}
    return {str(code): {"description": "An error.", "content": content} for code in sorted(set(codes))}
