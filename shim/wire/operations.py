"""What is served, operation by operation, as the OpenAPI document says it.

Shapes are named here and described by the types in this package. Not here: the routes themselves (`shim.http.routes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic.json_schema import JsonSchemaMode

from shim.wire import conversations as kept
from shim.wire.base import Json
from shim.wire.response import Compacted, InputTokens

GUARDED = (400, 401, 403)
"""A request that is not understood, without a key that is accepted, or from a page that may not ask."""

BODY = (408, 413, 415)
"""A body that is too slow, too large, or no JSON by its type."""

BUSY = (503,)
"""Too many requests at one time, or the process is asked to end."""
FOUND = (404, *BUSY)
"""There is no such thing; or the store is away, or as above."""

ASKED = (402, 404, 408, 409, 429, 500, 502, 503, 504)
"""What may come of asking the upstream, and of what a request relies on in the store."""

ANY_OBJECT: Json = {"type": "object"}

SHAPES: dict[str, tuple[Any, JsonSchemaMode]] = {
    "create-conversation": (kept.CreateConversation, "validation"),
    "update-conversation": (kept.UpdateConversation, "validation"),
    "create-items": (kept.CreateItems, "validation"),
    "conversation": (kept.Conversation, "serialization"),
    "item-list": (kept.ItemList, "serialization"),
    "deleted": (kept.Deleted, "serialization"),
    "compacted": (Compacted, "serialization"),
    "input-tokens": (InputTokens, "serialization"),
}
"""Shapes that stand in the document alone: the type, and whether it comes in or goes out."""


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    Attributes:
        id: Its name, unlike all others.
        summary: One line on it.
        answer: The schema of its answer, or the name of a shape.
        body: The name of its body's shape; None if it takes none.
        optional: Whether the body may be left out.
        streams: Whether it answers with events, too, if it is asked to.
        query: Its query parameters, each with its schema.
        errors: The statuses of its errors, besides those of every guarded operation.
        guarded: Whether it asks who comes.
    """

    id: str
    summary: str
    answer: str | Json
    body: str | Json | None = None
    optional: bool = False
    streams: bool = False
    query: tuple[tuple[str, Json], ...] = ()
    errors: tuple[int, ...] = ()
    guarded: bool = True


_PAGING = tuple(
    (name, {key: value for key, value in schema.items() if key != "title"})
    for name, schema in kept.Paging.model_json_schema()["properties"].items()
)
_RESUMING: tuple[tuple[str, Json], ...] = (
    ("stream", {"type": "boolean", "default": False}),
    ("starting_after", {"type": "integer", "minimum": 0}),
)
_MODELS: Json = {
    "type": "object",
    "properties": {
        "object": {"const": "list"},
        "data": {"type": "array", "items": {"$ref": "#/components/schemas/model"}},
        "models": {"type": "array", "items": ANY_OBJECT},
    },
    "required": ["object", "data", "models"],
}
MODEL: Json = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": {"type": "string"},
    },
    "required": ["id", "object", "created", "owned_by"],
}
_READY: Json = {
    "type": "object",
    "properties": {
        "status": {"enum": ["ready", "not ready"]},
        "checks": {"type": "array", "items": ANY_OBJECT},
    },
    "required": ["status", "checks"],
}
_HEALTH: Json = {
    "type": "object",
    "properties": {"status": {"const": "ok"}, "version": {"type": "string"}},
    "required": ["status", "version"],
}

OPERATIONS: dict[str, dict[str, Operation]] = {
    "/v1/responses": {
        "post": Operation(
            "createResponse",
            "Create a response, streamed or not.",
            "response",
            "create-response",
            streams=True,
            errors=BODY + ASKED,
        )
    },
    "/v1/responses/compact": {
        "post": Operation(
            "compactResponse",
            "A conversation as one compaction item.",
            "compacted",
            ANY_OBJECT,
            errors=BODY + ASKED,
        )
    },
    "/v1/responses/input_tokens": {
        "post": Operation(
            "countInputTokens",
            "How many tokens a request is, estimated.",
            "input-tokens",
            ANY_OBJECT,
            errors=BODY + ASKED,
        )
    },
    "/v1/responses/{response_id}": {
        "get": Operation(
            "retrieveResponse",
            "A stored response, or the stream of one that was made in the background.",
            "response",
            streams=True,
            query=_RESUMING,
            errors=FOUND,
        ),
        "delete": Operation("deleteResponse", "Delete a stored response.", "deleted", errors=FOUND),
    },
    "/v1/responses/{response_id}/cancel": {
        "post": Operation("cancelResponse", "End a background response.", "response", errors=FOUND)
    },
    "/v1/responses/{response_id}/input_items": {
        "get": Operation("listInputItems", "A turn's own input.", "item-list", query=_PAGING, errors=FOUND)
    },
    "/v1/conversations": {
        "post": Operation(
            "createConversation",
            "Create a conversation.",
            "conversation",
            "create-conversation",
            optional=True,
            errors=BODY + FOUND,
        )
    },
    "/v1/conversations/{conversation_id}": {
        "get": Operation("retrieveConversation", "A conversation.", "conversation", errors=FOUND),
        "post": Operation(
            "updateConversation",
            "Replace its metadata.",
            "conversation",
            "update-conversation",
            errors=BODY + FOUND,
        ),
        "delete": Operation("deleteConversation", "Delete it with its items.", "deleted", errors=FOUND),
    },
    "/v1/conversations/{conversation_id}/items": {
        "get": Operation("listConversationItems", "Its items.", "item-list", query=_PAGING, errors=FOUND),
        "post": Operation(
            "createConversationItems",
            "Add items, at most 20.",
            "item-list",
            "create-items",
            errors=BODY + FOUND,
        ),
    },
    "/v1/conversations/{conversation_id}/items/{item_id}": {
        "get": Operation("retrieveConversationItem", "One item.", ANY_OBJECT, errors=FOUND),
        "delete": Operation("deleteConversationItem", "Delete one item.", "conversation", errors=FOUND),
    },
    "/v1/models": {
        "get": Operation(
            "listModels",
            "The instruments, for OpenAI clients (`data`) and Codex (`models`).",
            _MODELS,
            errors=BUSY,
        )
    },
    "/v1/models/{model}": {
        "get": Operation("retrieveModel", "One instrument.", "model", errors=(404, *BUSY))
    },
    "/healthz": {"get": Operation("health", "Whether the process is up.", _HEALTH, guarded=False)},
    "/readyz": {
        "get": Operation("readiness", "Whether requests can be served, and why not.", _READY, guarded=False)
    },
    "/openapi.json": {"get": Operation("openapi", "This document.", ANY_OBJECT, guarded=False, errors=BUSY)},
}
"""By path and method."""
