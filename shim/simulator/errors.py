"""How errors are worded: The Grid's envelope, its suppliers' envelopes, and a full context in many words.

Not here: what is an error (`strictness`, `strict_messages`, `strict_tools`, `app`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shim.simulator.config import Envelope, Failure, JsonObject, Wording

USUAL_WORDS = {
    400: "Bad request.",
    401: "Unauthorized: provide a valid Consumption API key.",
    402: "Payment required: no consumption tokens available for this instrument.",
    404: "Not found.",
    405: "Method not allowed.",
    422: "Unprocessable entity.",
    429: "Too many requests.",
    500: "Internal server error.",
    503: "Service unavailable: balance replenishment in progress.",
}
_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    404: "not_found_error",
    429: "rate_limit_error",
}
_SERVER_ERRORS = 500


@dataclass(frozen=True)
class Complaint:
    """What is wrong with a request: the field at fault, the reason, and the status to answer."""

    field: str
    reason: str
    status: int = 400


@dataclass
class RefusedError(Exception):
    """A request that gets an error answer.

    Attributes:
        status: HTTP status.
        detail: The message.
        envelope: The error's shape; None takes the configured one.
        param: The field at fault, shown by the OpenAI envelope.
        code: OpenAI's error code, shown by the OpenAI envelope.
        headers: Further headers.
    """

    status: int
    detail: str
    envelope: Envelope | None = None
    param: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(self.detail)

    __hash__ = Exception.__hash__


def from_failure(failure: Failure) -> RefusedError:
    """The error answer that a configured fault stands for."""
    wait = {} if failure.retry_after is None else {"retry-after": str(failure.retry_after)}
    detail = failure.detail or USUAL_WORDS.get(failure.status, "Error.")
    envelope = failure.envelope or ("grid" if failure.at == "front" else None)
    return RefusedError(failure.status, detail, envelope, headers=wait)


def enveloped(refused: RefusedError, default: Envelope) -> tuple[str, bytes]:
    """The content type and the body of an error answer."""
    match refused.envelope or default:
        case "grid":
            return _json({"errors": {"detail": refused.detail}})
        case "openai":
            return _json({"error": _openai(refused)})
        case "plain":
            return "text/plain; charset=utf-8", refused.detail.encode()
        case "html":
            title = f"{refused.status} {refused.detail}"
            page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
            return "text/html", page.encode()


def _json(body: JsonObject) -> tuple[str, bytes]:
    return "application/json", json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def _openai(refused: RefusedError) -> JsonObject:
    usual = "server_error" if refused.status >= _SERVER_ERRORS else "invalid_request_error"
    kind = _TYPES.get(refused.status, usual)
    return {"message": refused.detail, "type": kind, "param": refused.param, "code": refused.code}


def overflow(wording: Wording, tokens: int, limit: int) -> RefusedError:
    """The 400 for a prompt that is too long, in one supplier's words."""
    words: dict[Wording, str] = {
        "openai": f"This model's maximum context length is {limit} tokens. However, your messages resulted in "
        f"{tokens} tokens. Please reduce the length of the messages.",
        "vllm": f"This model's maximum context length is {limit} tokens. However, you requested {tokens} tokens "
        f"({tokens} in the messages, 0 in the completion). Please reduce the length of the messages or completion.",
        "llama_cpp": f"request ({tokens} tokens) exceeds the available context size ({limit} tokens), "
        "try increasing it",
        "anthropic": f"prompt is too long: {tokens} tokens > {limit} maximum",
        "gemini": f"The input token count ({tokens}) exceeds the maximum number of tokens allowed ({limit}).",
        "openrouter": f"This endpoint's maximum context length is {limit} tokens. However, you requested about "
        f"{tokens} tokens. Please reduce the length of either one.",
        "moonshot": f"Invalid request: Your request exceeded model token limit: {limit}",
        "plain": "Input is too long for the requested instrument.",
    }
    code = "context_length_exceeded" if wording == "openai" else None
    return RefusedError(400, words[wording], param="messages", code=code)
