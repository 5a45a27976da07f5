"""Content parts that clients send, inside messages and tool outputs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Tag

from shim.wire.base import Inbound, by_type, text_or_list


class InputText(Inbound):
    """Text that the model reads."""

    type: Literal["input_text", "output_text", "text", "summary_text", "reasoning_text"]
    text: str


class Refusal(Inbound):
    """A refusal by the model, replayed."""

    type: Literal["refusal"]
    refusal: str


class InputImage(Inbound):
    """An image by http(s) URL or data URL."""

    type: Literal["input_image"]
    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None


class InputFile(Inbound):
    """A file by its bytes (base64 or data URL), by URL or by id."""

    type: Literal["input_file"]
    file_data: str | None = None
    filename: str | None = None
    file_url: str | None = None
    file_id: str | None = None


class AudioData(Inbound):
    """Base64 audio and its format."""

    data: str
    format: str


class InputAudio(Inbound):
    """Audio that the model hears."""

    type: Literal["input_audio"]
    input_audio: AudioData


class EncryptedContent(Inbound):
    """Codex's multi-agent payload; without OpenAI's encryption it is plain text."""

    type: Literal["encrypted_content"]
    encrypted_content: str


class OtherPart(Inbound):
    """A part of a type that the shim does not know."""

    model_config = ConfigDict(extra="allow", strict=True)
    type: str


_PARTS: dict[str, type[Inbound]] = {
    "input_text": InputText,
    "output_text": InputText,
    "text": InputText,
    "summary_text": InputText,
    "reasoning_text": InputText,
    "refusal": Refusal,
    "input_image": InputImage,
    "input_file": InputFile,
    "input_audio": InputAudio,
    "encrypted_content": EncryptedContent,
}


def _fallback(_: dict[str, Any]) -> str:
    return "other"


Part = Annotated[
    Annotated[InputText, Tag("<input_text>")]
    | Annotated[InputText, Tag("<output_text>")]
    | Annotated[InputText, Tag("<text>")]
    | Annotated[InputText, Tag("<summary_text>")]
    | Annotated[InputText, Tag("<reasoning_text>")]
    | Annotated[Refusal, Tag("<refusal>")]
    | Annotated[InputImage, Tag("<input_image>")]
    | Annotated[InputFile, Tag("<input_file>")]
    | Annotated[InputAudio, Tag("<input_audio>")]
    | Annotated[EncryptedContent, Tag("<encrypted_content>")]
    | Annotated[OtherPart, Tag("<other>")],
    Discriminator(by_type(_PARTS, _fallback)),
]

Content = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[list[Part], Tag("<list>")], Discriminator(text_or_list)
]
"""A string, or a list of parts."""
