"""Time and chance: the only module that asks the clock or makes ids."""

from __future__ import annotations

import os
import secrets
import time
from collections import deque
from itertools import cycle

ID_DIGITS = 50
"""Hexadecimal digits in an id, as the API's own ids have."""

DRAWN = 64
"""Tokens drawn at a time: each draw is a system call, which costs more than all else about an id."""

_TOKENS = [slice(start, start + ID_DIGITS) for start in range(0, DRAWN * ID_DIGITS, ID_DIGITS)]
"""Where each stands in a draw."""

_tokens: deque[str] = deque()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_tokens.clear)  # or two processes would give the same ids

PADDED_TO = 16
"""Deltas are padded to a multiple of this many characters, so that their length tells little."""

_noise = cycle(
    [
        [noise[length:] for length in range(PADDED_TO)]
        for noise in (secrets.token_urlsafe(PADDED_TO)[:PADDED_TO] for _ in range(128))
    ]
)
"""Rounds of noise: each has what fills up a delta, by its length modulo `PADDED_TO`."""


class Ambient:
    """The real source of time, ids and padding."""

    def now(self) -> int:
        """Unix seconds."""
        return int(time.time())

    def elapsed(self) -> float:
        """See `monotonic`."""
        return monotonic()

    def new_id(self, prefix: str) -> str:
        """An unguessable id."""
        return f"{prefix}_{token()}"

    def padding(self, length: int) -> str:
        """Noise that fills a delta of `length` characters up to a multiple of `PADDED_TO`."""
        return next(_noise)[length % PADDED_TO]


def token() -> str:
    """Unguessable hexadecimal digits, `ID_DIGITS` of them; safe on every thread."""
    while True:
        try:
            return _tokens.popleft()
        except IndexError:
            drawn = secrets.token_hex(DRAWN * ID_DIGITS // 2)
            _tokens.extend(map(drawn.__getitem__, _TOKENS))


monotonic = time.monotonic
"""Seconds on a clock that never jumps, for measuring."""
