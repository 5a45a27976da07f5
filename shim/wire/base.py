"""The two kinds of shape: what comes in is read leniently, what goes out is exact.

Inbound shapes are pydantic models: unknown keys are passed over, types are checked strictly (`"5"` is not 5),
and unions are chosen by their `type` so that an error names one path. Outbound shapes are `TypedDict`s: at run
time they are the plain dicts that get encoded; mypy checks them where they are built, and the published schemas
and the tests check them with `exact`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, with_config

exact = with_config(ConfigDict(extra="forbid", strict=True))
"""Decorates every outbound shape: no further keys, no coercion."""

Json = dict[str, Any]
"""A JSON object that is passed on or looked into, not yet checked."""


class Inbound(BaseModel):
    """Base of everything that clients send."""

    model_config = ConfigDict(extra="ignore", strict=True, defer_build=True)


def by_type(known: Mapping[str, Any], fallback: Callable[[Json], str]) -> Callable[[Any], str]:
    """A pydantic discriminator: the value's `type` if known, else what `fallback` makes of the object.

    Tags stand in angle brackets, which keeps them apart from field names in error locations.
    """

    def tag(value: Any) -> str:
        if not isinstance(value, dict):
            kind = getattr(value, "type", None)
            return f"<{kind}>" if kind in known else "<other>"
        kind = value.get("type")
        return f"<{kind}>" if isinstance(kind, str) and kind in known else f"<{fallback(value)}>"

    return tag


def text_or_list(value: Any) -> str:
    """A pydantic discriminator for fields that hold a string or a list."""
    return "<text>" if isinstance(value, str) else "<list>"
