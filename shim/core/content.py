"""Content parts that clients send, as chat content.

Text alone becomes a string, since many chat templates take nothing else; parts are used only where there is an
image, a file or audio. What Chat Completions cannot carry is refused with the path of the part.
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
from collections.abc import Iterable
from dataclasses import dataclass, field

from shim.core.profile import Instrument
from shim.errors import ClientFault, invalid
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

_TEXT_TYPES = frozenset(
    {"application/json", "application/xml", "application/yaml", "application/toml", "application/javascript"}
)


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

    def _image(self, part: InputImage, where: str) -> ImagePart:
        if part.image_url is None:
            what = "file_id" if part.file_id else "image_url"
            raise invalid(
                _NO_FILES if part.file_id else f"Missing required parameter: '{where}.{what}'.", where
            )
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
    if part.file_data is None:
        raise invalid(
            _NO_FILES if part.file_id else "Files by URL are not fetched: send the bytes in 'file_data'.",
            where,
            "unsupported_file",
        )
    name = part.filename or "file"
    kind, data = _data_url(part.file_data, name)
    if kind.startswith("text/") or kind in _TEXT_TYPES:
        return _text(f"<file name={name!r}>\n{_decoded(data, where)}\n</file>")
    if kind != "application/pdf":
        raise invalid(f"Files of type '{kind}' cannot be sent to this model.", where, "unsupported_file")
    return FilePart(type="file", file=FileData(file_data=f"data:{kind};base64,{data}", filename=name))


def _data_url(value: str, name: str) -> tuple[str, str]:
    """The media type and base64 text of a data URL, or of bare base64 with a telling file name."""
    if value.startswith("data:"):
        head, _, data = value[5:].partition(",")
        return head.split(";")[0] or "text/plain", data
    return mimetypes.guess_type(name)[0] or "application/pdf", value


def _decoded(data: str, where: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise _bad_file(where) from error


def _bad_file(where: str) -> ClientFault:
    return invalid(
        "The file's data is not valid base64 of UTF-8 text.", f"{where}.file_data", "invalid_value"
    )


def joined(texts: Iterable[str], joint: str = "\n\n") -> str:
    """Texts that are not empty, joined."""
    return joint.join(text for text in texts if text)
