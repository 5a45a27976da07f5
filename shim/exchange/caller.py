"""Who asks: the key that goes upstream, and what tells clients apart."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        key: The upstream's key for this request, or None if it needs none.
        identity: What the client presented, a token or a key; empty if nothing.
        refusals_as_text: The client passes over messages with a refusal part, as Codex does.
    """

    key: str | None = field(default=None, repr=False)
    identity: str = field(default="", repr=False)
    refusals_as_text: bool = False
