"""Keys as people paste them, made fit for a header, and kept out of messages."""

from __future__ import annotations

import re

from shim.errors import ClientFault, Fault

_PREFIX = re.compile(r"(authorization\s*:\s*)?(bearer(\s+|$))+", re.IGNORECASE)
_BARE = re.compile(r"(?!bearer\Z)[\w.-]+", re.IGNORECASE | re.ASCII)
"""A key in which nothing can be found that does not belong to it."""
_WRAPPING = " \t\r\n\f\v\"'`"
_VALID = re.compile(r"[\x21-\x7e]+")
_SECRET_LENGTH = 6
"""Shorter keys are placeholders ("none"), and scrubbing them would spoil messages."""


def clean_key(key: str | None) -> str | None:
    """The key alone: without `Bearer`, quotes, white space; None if nothing is left.

    Raises:
        ClientFault: 401, the key cannot be a header's value. The message does not show it.
    """
    if key and _BARE.fullmatch(key):
        return key
    bare = (key or "").strip(_WRAPPING)
    while (
        shorter := _PREFIX.sub("", bare, count=1).strip(_WRAPPING) if _PREFIX.match(bare) else bare
    ) != bare:
        bare = shorter
    if bare and not _VALID.fullmatch(bare):
        raise ClientFault(
            "The API key contains white space or characters that no header can carry; copy it again.",
            status=401,
            code="invalid_api_key",
        )
    return bare or None


def authorization(bare: str | None) -> list[str]:
    """The header line for a clean key; none without one."""
    return [f"authorization: Bearer {bare}"] if bare else []


def scrub(fault: Fault, key: str | None) -> Fault:
    """The same fault; a key that the upstream echoed is blotted out of it: as it was sent, however it was pasted."""
    key = clean_key(key)
    if key is None or len(key) < _SECRET_LENGTH:
        return fault
    for name in ("message", "code", "param"):
        text = getattr(fault, name)
        if text:
            setattr(fault, name, _blotted(text, key))
    fault.args = (fault.message,)
    return fault


def _blotted(text: str, key: str) -> str:
    """A text without the key, and without the head of it that a cut has left at its end."""
    text = text.replace(key, "[key]")
    bare = text.rstrip("…")
    for length in range(len(key) - 1, _SECRET_LENGTH - 1, -1):
        if bare.endswith(key[:length]):
            return bare[:-length] + "[key]" + text[len(bare) :]
    return text
