"""Who asks: the key that goes upstream, and whose the stored things are."""

from __future__ import annotations

import hmac
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


def owner_of(secret: bytes, caller: Caller) -> str:
    """A keyed hash of what the client presented: it tells clients apart and gives no key away."""
    return hmac.digest(secret, b"owner\0" + caller.identity.encode(), "sha256").hex()
