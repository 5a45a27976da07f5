"""Whose fault it is, and how OpenAI would say it.

Three families: `ClientFault` (the request is wrong), `UpstreamFault` (the supplier or the way to it failed)
and everything else, which is ours and becomes a plain 500 at the edge. A fault knows its HTTP status and the
four fields of OpenAI's error object; it never holds a key or a traceback.

Not here: parsing of upstream errors (`shim.upstream.faults`) and HTTP (`shim.http`).
"""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import TypedDict

LONGEST_MESSAGE, LONGEST_PARAM = 8_000, 1_000
"""Characters; messages quote ids and names, and a client may make them as long as a body may be."""

_ENDING = 100


class ErrorBody(TypedDict):
    """OpenAI's error object, the value of `error` in an error response."""

    message: str
    type: str
    param: str | None
    code: str | None


@dataclass
class Fault(Exception):
    """Something that ends a request, with everything a client may be told about it.

    Attributes:
        message: One or two sentences, safe to show.
        status: HTTP status, used when nothing has been sent yet.
        type: OpenAI's error type.
        code: OpenAI's error code, or None.
        param: Path of the offending request field, such as `input[0].content`, or None.
        retry_after: Whole seconds after which a retry makes sense, or None.
    """

    message: str
    status: int = 500
    type: str = "server_error"
    code: str | None = None
    param: str | None = None
    retry_after: int | None = None

    def __post_init__(self) -> None:
        self.message = _shortened(self.message, LONGEST_MESSAGE)
        if self.param is not None:
            self.param = _shortened(self.param, LONGEST_PARAM)
        super().__init__(self.message)

    __hash__ = Exception.__hash__

    @property
    def body(self) -> ErrorBody:
        """The error object of an HTTP error response or of an `error` event."""
        return ErrorBody(message=self.message, type=self.type, param=self.param, code=self.code)

    @property
    def response_code(self) -> str:
        """The code for `response.error`, which must not be null (`response.failed` has no type)."""
        return self.code or "server_error"


@dataclass
class ClientFault(Fault):
    """The request is wrong: the client can mend it."""

    status: int = 400
    type: str = "invalid_request_error"

    @property
    def response_code(self) -> str:
        """`invalid_prompt` tells clients that trying again will not help."""
        return self.code or "invalid_prompt"

    __hash__ = Exception.__hash__


@dataclass
class UpstreamFault(Fault):
    """The upstream, or the way to it, failed."""

    status: int = 502
    code: str | None = "server_error"

    __hash__ = Exception.__hash__


def _shortened(text: str, longest: int) -> str:
    """The text, without its middle if it is too long."""
    return text if len(text) <= longest else f"{text[: longest - _ENDING - 1]}…{text[-_ENDING:]}"


def invalid(message: str, param: str | None, code: str | None = None) -> ClientFault:
    """A 400 that names the field."""
    return ClientFault(message, param=param, code=code)


def missing(param: str) -> ClientFault:
    """A 400 for a required field that is absent."""
    return invalid(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def unknown_model(message: str) -> ClientFault:
    """A 400 for a model that the upstream does not serve."""
    return invalid(message, "model", "model_not_found")


def cut_stream() -> UpstreamFault:
    """The upstream's stream ended without a finish reason."""
    return UpstreamFault("The upstream closed the stream before the model had finished.", code="server_error")
