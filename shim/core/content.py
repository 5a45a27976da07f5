"""Content parts that clients send, as chat content.

Text alone becomes a string, since many chat templates take nothing else; parts are used only where there is an
image, a file or audio. What Chat Completions cannot carry is refused with the path of the part.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import assert_never
from urllib.parse import unquote_to_bytes

from shim.core.profile import Instrument
from shim.errors import invalid, missing
from shim.wire.chat import (
    Audio,
    AudioPart,
    ChatContent,
    ChatPart,
    FileData,
    FilePart,
    ImagePart,
    ImageUrl,
    TextPart,
)
from shim.wire.parts import (
    Content,
    EncryptedContent,
    InputAudio,
    InputFile,
    InputImage,
    InputText,
    OtherPart,
    Part,
    Refusal,
)

PDF = "application/pdf"
PDF_HEAD = b"%PDF-"


@dataclass
class Mixed:
    """Text and media of one message or output, in their order."""

    parts: list[ChatPart] = field(default_factory=list)

    @property
    def media(self) -> list[ChatPart]:
        """Everything that is not text."""
        return [part for part in self.parts if part["type"] != "text"]

    def content(self) -> ChatContent:
        """A string if there is only text, else the parts."""
        return self.parts if self.media else self.text("\n")

    def text(self, joint: str) -> str:
        """The text alone; media leave a mark where they stood."""
        return joint.join(
            part["text"] if part["type"] == "text" else _MARKS[part["type"]] for part in self.parts
        )


_MARKS = {"image_url": "[image]", "file": "[file]", "input_audio": "[audio]"}


@dataclass
class ContentReader:
    """Reads content for one instrument; `notes` collects what was left out."""

    instrument: Instrument
    notes: list[str]

    def read(self, content: Content, where: str) -> Mixed:
        """Translate content found at `where`, a request path such as `input[0].content`.

        Raises:
            ClientFault: A part cannot be sent to this instrument, or not at all.
        """
        if isinstance(content, str):
            return Mixed([_text(content)])
        parts = (self._part(part, f"{where}[{index}]") for index, part in enumerate(content))
        return Mixed([part for part in parts if part is not None])

    def chat(self, content: Content, where: str) -> ChatContent:
        """The same as chat takes it: a string is one already."""
        return content if isinstance(content, str) else self.read(content, where).content()

    def _part(self, part: Part, where: str) -> ChatPart | None:
        match part:
            case InputText():
                return _text(part.text)
            case Refusal():
                return _text(part.refusal)
            case EncryptedContent():
                return _text(part.encrypted_content)
            case InputImage():
                return self._image(part, where)
            case InputFile():
                return _file(part, where)
            case InputAudio():
                audio = Audio(data=part.input_audio.data, format=part.input_audio.format)
                return AudioPart(type="input_audio", input_audio=audio)
            case OtherPart():
                self.notes.append(f"{where}: a part of type {part.type!r} was left out")
                return None
            case _:
                assert_never(part)

    def _image(self, part: InputImage, where: str) -> ImagePart:
        if part.image_url is None and part.file_id:
            raise invalid(_NO_FILES, f"{where}.file_id")
        if not part.image_url:
            raise missing(f"{where}.image_url")
        if self.instrument.images is False:
            raise invalid(
                f"The model '{self.instrument.id}' does not take image input. "
                "Choose an instrument that does, or leave the image out.",
                where,
                "unsupported_image_input",
            )
        url = ImageUrl(url=part.image_url)
        if part.detail in ("low", "high", "auto"):
            url["detail"] = part.detail
        elif part.detail:
            self.notes.append(f"{where}.detail: {part.detail!r} sent as 'high'")
            url["detail"] = "high"
        return ImagePart(type="image_url", image_url=url)


_NO_FILES = "Files are not stored here: send the bytes in place of a file_id."


def _text(text: str) -> TextPart:
    return TextPart(type="text", text=text)


def _file(part: InputFile, where: str) -> ChatPart:
    """A PDF as a file; anything that is UTF-8 as text, whatever its type is called."""
    if part.file_data is None:
        raise invalid(
            _NO_FILES if part.file_id else "Files by URL are not fetched: send the bytes in 'file_data'.",
            where,
            "unsupported_file",
        )
    name = part.filename or "file"
    kind, data = _contents(part.file_data, where)
    if kind == PDF or data.startswith(PDF_HEAD):
        encoded = base64.b64encode(data).decode()
        return FilePart(type="file", file=FileData(file_data=f"data:{PDF};base64,{encoded}", filename=name))
    try:
        return _text(f"<file name={name!r}>\n{data.decode()}\n</file>")
    except UnicodeDecodeError as error:
        what = f"Files of type '{kind}'" if kind else "Files that are neither PDF nor UTF-8 text"
        raise invalid(f"{what} cannot be sent to this model.", where, "unsupported_file") from error


def _contents(value: str, where: str) -> tuple[str, bytes]:
    """The media type, if told, and the bytes of a data URL or of bare base64."""
    url = value.startswith("data:")
    head, _, data = value[5:].partition(",") if url else ("", "", value)
    kind, *options = head.lower().split(";")
    if url and "base64" not in options:
        return kind, unquote_to_bytes(data)
    try:
        return kind, base64.b64decode(data, validate=True)
    except ValueError as error:
        message = "The file's data is not valid base64."
        raise invalid(message, f"{where}.file_data", "invalid_value") from error


def joined(texts: Iterable[str], joint: str = "\n\n") -> str:
    """Texts that are not empty, joined."""
    return joint.join(text for text in texts if text)
