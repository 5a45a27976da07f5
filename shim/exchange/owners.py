"""Whose stored things are: a keyed hash of what the client presented.

The hash has a key of its own, the owner key, which outlives the keys that seal: a store notes, for every seal key that
was ever accepted on it, the owner key, sealed with that one. So whoever has any of them finds what was stored before,
and the others can be dropped. The first on a store derives the owner key from its seal key.

Not here: the seal keys (`shim.seal_keys`) and where the notes lie (`shim.store.owner_keys`).
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Iterable
from functools import lru_cache

from shim.exchange.caller import Caller
from shim.seal import Sealer, SealKey, SealKeys
from shim.store import ResponseStore

log = logging.getLogger("shim.exchange")

PURPOSE = "owners"

MOST_REMEMBERED = 64
"""Clients whose hash is remembered; what they present may be long."""


class Owners:
    """Tells owners apart, and gives no key away."""

    def __init__(self, keys: SealKeys) -> None:
        self._keys = keys
        self._key = keys.all[0].owner_key
        self._hashed = lru_cache(MOST_REMEMBERED)(self._hash)

    def of(self, caller: Caller) -> str:
        """Whose the things are that this caller stores."""
        return self._hashed(caller.identity)

    def _hash(self, identity: str) -> str:
        return hmac.digest(self._key, identity.encode(), "sha256").hex()

    async def settle(self, store: ResponseStore) -> None:
        """Take the owner key that the store knows, and note it for every accepted key.

        Where the notes of two keys differ, the last accepted one's counts, which is the oldest: an operator who
        changed the key, missed what was stored and then accepts the former key again, has it back.

        Raises:
            StoreFault: The store is away.
        """
        known = await self._known(store)
        if not known:
            if await store.owner_keys.add(self._notes(self._keys.all)):
                return
            known = await self._known(store)  # another process was faster
        if known:
            self._key = list(known.values())[-1]
            self._hashed.cache_clear()
        if len(set(known.values())) > 1:
            log.warning(
                "what was stored under the newer seal keys alone is seen no more: the oldest one's counts"
            )
        if changed := [key for key in self._keys.all if known.get(key) != self._key]:
            await store.owner_keys.put(self._notes(changed))

    async def _known(self, store: ResponseStore) -> dict[SealKey, bytes]:
        """The owner keys in those notes that open, in the order of their keys."""
        noted = await store.owner_keys.get([key.id.hex() for key in self._keys.all])
        return {
            key: found
            for key in self._keys.all
            if key.id.hex() in noted and (found := self._opened(key, noted[key.id.hex()]))
        }

    def _notes(self, keys: Iterable[SealKey]) -> dict[str, bytes]:
        return {key.id.hex(): self._sealed(key) for key in keys}

    def _opened(self, key: SealKey, note: bytes) -> bytes | None:
        """The owner key in a key's note; an empty note means the key's own."""
        if not note:
            return key.owner_key
        opened = _sealer(key).unseal(note.decode("ascii", "replace"))
        return bytes.fromhex(opened) if opened else None

    def _sealed(self, key: SealKey) -> bytes:
        if self._key == key.owner_key:
            return b""
        return _sealer(key).seal(self._key.hex()).encode()


def _sealer(key: SealKey) -> Sealer:
    """What seals a key's note, with that key."""
    return SealKeys(key).sealer(PURPOSE, key.id.hex())
