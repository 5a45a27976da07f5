"""Whether the shim can do its work: a key to use and an upstream that answers.

Not here: whether the process runs; `/healthz` says so by answering at all.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shim.errors import Fault

if TYPE_CHECKING:
    from shim.http.guards import Guard
    from shim.upstream import Upstream

READY_SECONDS = 5.0  # probes come every few seconds, from several sides; the upstream shall not feel them


@dataclass(frozen=True, slots=True)
class Check:
    """One condition for being ready."""

    name: str
    ok: bool
    reason: str


class Readiness:
    """The checks behind `/readyz`, each remembered for a few seconds."""

    def __init__(self, guard: Guard, upstream: Upstream) -> None:
        self._guard = guard
        self._upstream = upstream
        self._checks: tuple[Check, ...] = ()
        self._until = 0.0

    async def checks(self) -> tuple[Check, ...]:
        """Every check with its reason; never raises for an upstream that fails."""
        clock = asyncio.get_running_loop().time
        if not self._checks or clock() >= self._until:
            self._checks = (self._key(), await self._reachable())
            self._until = clock() + READY_SECONDS
        return self._checks

    def _key(self) -> Check:
        guard = self._guard
        if guard.own_key is not None:
            return Check("key", ok=True, reason="a key is configured")
        if not guard.needs_key:
            return Check("key", ok=True, reason="the upstream needs no key")
        return Check(
            "key", ok=True, reason=f"{guard.key_variable} is not set; clients' own keys pass through"
        )

    async def _reachable(self) -> Check:
        try:
            catalog = await self._upstream.catalog(self._guard.own_key)
        except Fault as fault:
            return Check("upstream", ok=False, reason=fault.message)
        if catalog.fallback:
            reason = f"{self._upstream.base_url} does not list its models; the built-in list is used"
            return Check("upstream", ok=False, reason=reason)
        return Check("upstream", ok=True, reason=f"{self._upstream.base_url} answers")
