"""What the pure core needs from the world: the time, fresh ids, random padding. All of it is an argument."""

from __future__ import annotations

from typing import Protocol


class Source(Protocol):
    """Where time and chance come from."""

    def now(self) -> int:
        """Unix seconds."""

    def new_id(self, prefix: str) -> str:
        """An unguessable id: `prefix` and 50 hexadecimal digits."""

    def padding(self, length: int) -> str:
        """Noise that JSON writes as it is (letters, digits, `-` and `_`), and that hides the length of a delta."""
