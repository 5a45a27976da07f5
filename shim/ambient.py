"""Time and chance: the only module that asks the clock or makes ids."""

from __future__ import annotations

import random
import secrets
import time

ID_BYTES = 25
"""Random bytes in an id: 50 hexadecimal digits, as the API's own ids have."""

PADDED_TO = 16
"""Deltas are padded to a multiple of this many characters, so that their length tells little."""

_NOISE = secrets.token_urlsafe(6144)
_ALPHABET_SPAN = len(_NOISE) - PADDED_TO


class Ambient:
    """The real source of time, ids and padding."""

    def now(self) -> int:
        """Unix seconds."""
        return int(time.time())

    def new_id(self, prefix: str) -> str:
        """An unguessable id."""
        return f"{prefix}_{secrets.token_hex(ID_BYTES)}"

    def padding(self, length: int) -> str:
        """Random text that fills a delta of `length` characters up to a multiple of `PADDED_TO`."""
        start = int(random.random() * _ALPHABET_SPAN)  # noqa: S311 -- noise, not a secret
        return _NOISE[start : start + PADDED_TO - length % PADDED_TO]


def monotonic() -> float:
    """Seconds on a clock that never goes back, for measuring."""
    return time.monotonic()
