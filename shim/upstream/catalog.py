"""What the upstream serves: its list of models read tolerantly, with The Grid's own as a fallback.

Field names differ between upstreams, so each fact has a table of places where it was seen. A bad entry is skipped and a bad
fact is unknown; neither ever costs the list. Keeping it is in `shim.upstream.shelf`, sending in `shim.upstream.client`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, TypeVar

from shim.core.profile import Instrument
from shim.core.text import scrub

T = TypeVar("T")

_CONTEXT = (
    "context_length",
    "context_window",
    "max_context_length",
    "max_model_len",
    "max_context_window",
    "top_provider.context_length",
    "limits.max_context_window_tokens",
    "meta.n_ctx",
)
_OUTPUT = (
    "max_completion_tokens",
    "max_output_tokens",
    "max_output_length",
    "top_provider.max_completion_tokens",
)
_IMAGES = (
    "attachments",
    "attachment",
    "input_modalities",
    "architecture.input_modalities",
    "modalities.input",
    "capabilities.vision",
    "capabilities",
)
_EFFORTS = (
    "reasoning.supported_efforts",
    "reasoning.efforts",
    "supported_reasoning_efforts",
    "supported_reasoning_levels",
    "reasoning_efforts",
)
_TEMPERATURE = ("supported_parameters", "supports_temperature", "capabilities.temperature", "temperature")
_IMAGE_WORDS = frozenset({"image", "images", "vision", "image_input"})
_RANK = {name: rank for rank, name in enumerate(("none", "minimal", "low", "medium", "high", "xhigh", "max"))}
_OFF = frozenset({"off", "disabled"})


@dataclass(frozen=True)
class Catalog:
    """The instruments of an upstream.

    Attributes:
        instruments: In the upstream's order.
        fallback: Whether this is what the shim knows by itself, since the upstream did not say.
        stale: Whether the upstream said so once, and did not when it was last asked.
    """

    instruments: tuple[Instrument, ...] = ()
    fallback: bool = False
    stale: bool = False
    _by_id: dict[str, Instrument] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._by_id.update((instrument.id, instrument) for instrument in reversed(self.instruments))

    @property
    def names(self) -> AbstractSet[str]:
        """Of all instruments."""
        return self._by_id.keys()

    def get(self, id: str | None) -> Instrument | None:  # noqa: A002 -- the API's own word
        """The instrument of this name."""
        return self._by_id.get(id) if id else None


def read_catalog(payload: object) -> Catalog:
    """A list of models: OpenAI's `{"data": [...]}`, Ollama's `{"models": [...]}`, or a bare list."""
    found: dict[str, Instrument] = {}
    for entry in _entries(payload):
        instrument = read_instrument(entry)
        if instrument:
            found.setdefault(instrument.id, instrument)
    return Catalog(tuple(found.values()))


def read_instrument(entry: object) -> Instrument | None:
    """One entry of such a list, or None if it has no name."""
    if not isinstance(entry, dict):
        return Instrument(scrub(entry)) if isinstance(entry, str) and entry else None
    name = _string(entry, "id") or _string(entry, "model") or _string(entry, "name")
    if not name:
        return None
    return Instrument(
        id=name,
        display_name=_string(entry, "display_name") or _string(entry, "name"),
        context_window=_first(_CONTEXT, entry, _count),
        max_output_tokens=_first(_OUTPUT, entry, _count),
        efforts=_first(_EFFORTS, entry, _efforts),
        images=_first(_IMAGES, entry, _images),
        temperature=_first(_TEMPERATURE, entry, _temperature) is not False,
        created=_count(entry.get("created")) or 0,
        owned_by=_string(entry, "owned_by") or "upstream",
    )


def _entries(payload: object) -> list[Any]:
    if isinstance(payload, Mapping):
        lists = [payload[key] for key in ("data", "models") if isinstance(payload.get(key), list)]
        return next(filter(None, lists), [])
    return payload if isinstance(payload, list) else []


def _first(paths: tuple[str, ...], entry: dict[str, Any], read: Callable[[object], T | None]) -> T | None:
    """The first of the places that can be read."""
    values = (read(_at(entry, path)) for path in paths)
    return next((value for value in values if value is not None), None)


def _at(entry: object, path: str) -> object:
    for key in path.split("."):
        entry = entry.get(key) if isinstance(entry, dict) else None
    return entry


def _string(entry: dict[str, Any], key: str) -> str:
    value = entry.get(key)
    return scrub(value).strip() if isinstance(value, str) else ""


def _count(value: object) -> int | None:
    """A positive whole number, also as a float or text."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = int(value.replace(",", "").replace("_", "")) if isinstance(value, str) else int(value)
    except (ValueError, OverflowError):
        return None
    return number if number > 0 else None


def _images(value: object) -> bool | None:
    """Whether a flag says so, or a list of modalities or capabilities has it."""
    if isinstance(value, list):
        return not _IMAGE_WORDS.isdisjoint(item for item in value if isinstance(item, str))
    return value if isinstance(value, bool) else None


def _temperature(value: object) -> bool | None:
    if isinstance(value, list):
        return "temperature" in value if value else None
    return value if isinstance(value, bool) else None


def _efforts(value: object) -> tuple[str, ...] | None:
    """Efforts as strings or `{"effort": ...}`, lowest first; "off" is what the API calls "none"."""
    if not isinstance(value, list):
        return None
    words = (item.get("effort") if isinstance(item, dict) else item for item in value)
    names = {
        "none" if word.lower() in _OFF else scrub(word.lower())
        for word in words
        if isinstance(word, str) and word
    }
    return tuple(sorted(names, key=lambda name: (_RANK.get(name, len(_RANK)), name)))


_ALWAYS = ("low", "medium", "high")
_SWITCHABLE = ("none", "low", "medium", "high", "xhigh", "max")


def _grid(
    names: str, context: int, output: int, efforts: tuple[str, ...], *, images: bool | None
) -> list[Instrument]:
    return [
        Instrument(
            id=name,
            display_name=name,
            context_window=context,
            max_output_tokens=output,
            efforts=efforts,
            images=images,
            owned_by="thegrid",
        )
        for name in names.split()
    ]


GRID_FALLBACK = Catalog(
    (
        *_grid("text-standard code-standard agent-standard", 128_000, 65_536, _ALWAYS, images=False),
        *_grid("text-prime code-prime", 128_000, 131_072, _ALWAYS, images=False),
        *_grid("agent-prime", 196_608, 131_072, _ALWAYS, images=False),
        *_grid("text-max code-max", 1_000_000, 128_000, _SWITCHABLE, images=None),
        *_grid("agent-max", 512_000, 128_000, _SWITCHABLE, images=None),
        Instrument(
            id="claude-opus-latest",
            display_name="claude-opus-latest",
            context_window=1_000_000,
            max_output_tokens=128_000,
            efforts=_SWITCHABLE,
            images=True,
            temperature=False,
            owned_by="thegrid",
        ),
    ),
    fallback=True,
)
"""The Grid's instruments by its documentation: the lower bound where it gives a range."""
NOTHING = Catalog(fallback=True)
