"""`encrypted_content` and the keys of background work: text that others keep for us.

A seal is `gs.` and base64url, without anything that another spelling could hide in, of

    version (1 byte) | key id (8) | nonce (12) | AES-256-GCM over deflated UTF-8, with its tag (16)

Version, key id, purpose and owner are authenticated with it: a seal opens only for whom and what it was made, with the
key that made it. Several keys may open, one seals. Nothing is stored: any process with the same keys opens the seals
of any other.

Not here: where keys come from (`shim.seal_keys`).
"""

from __future__ import annotations

import base64
import hmac
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PREFIX = "gs."
VERSION = b"\x01"
KEY_ID_BYTES = 8
NONCE_BYTES = 12

LARGEST_TEXT = 8 << 20
"""Bytes of text in a seal: what a reasoning model writes in one turn is a thousandth of it."""

LARGEST_SEAL = 12 << 20
"""Characters of a seal: `LARGEST_TEXT` that does not compress, in base64, and some room."""

LARGEST_OPENED = 32 << 20
"""Bytes of text in the seals of one request together: a seal of 10 KB can hold `LARGEST_TEXT`, and a request thousands of
them; the reasoning of a million tokens has about 5 MB."""

_HEAD_BYTES = len(VERSION) + KEY_ID_BYTES


def derived(secret: bytes, label: bytes) -> bytes:
    """32 bytes for one use of a secret: HKDF-SHA-256 (RFC 5869), no salt, one block.

    The secret may have any length. `cryptography` has the same, and costs 6 MB before anything is sealed.
    """
    extracted = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(extracted, b"grid-shim " + label + b"\x01", "sha256")


class SealKey:
    """One secret and what is derived from it.

    Attributes:
        id: Tells keys apart and gives none away; it stands in every seal.
        owner_key: What this key would tell owners apart with, if it were the first on a store.
    """

    def __init__(self, secret: bytes) -> None:
        self.id = derived(secret, b"key id")[:KEY_ID_BYTES]
        self.owner_key = derived(secret, b"owners")
        self._key = derived(secret, b"seal")

    @cached_property
    def cipher(self) -> AESGCM:
        """The cipher."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 -- large, and few seal

        return AESGCM(self._key)


class SealKeys:
    """The accepted keys in their order: the first one seals, all of them open."""

    def __init__(self, *keys: SealKey) -> None:
        self.all = keys
        self._by_id = {key.id: key for key in keys}

    @classmethod
    def of(cls, secrets: Iterable[bytes]) -> SealKeys:
        """The keys of these secrets; there is one at least."""
        return cls(*map(SealKey, dict.fromkeys(secrets)))

    def __getitem__(self, key_id: bytes) -> SealKey | None:
        return self._by_id.get(key_id)

    def sealer(self, purpose: str, owner: str) -> Sealer:
        """What seals and opens for one purpose (a literal of ours) and one owner (any text)."""
        return Sealer(self, f"{purpose}\0{owner}".encode())


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals and opens text that is bound to a purpose and an owner."""

    keys: SealKeys
    bound: bytes

    def seal(self, text: str) -> str:
        """The text, for none but us to read."""
        key = self.keys.all[0]
        head, nonce = VERSION + key.id, os.urandom(NONCE_BYTES)
        sealed = key.cipher.encrypt(nonce, zlib.compress(text.encode(), 6), head + self.bound)
        return PREFIX + base64.urlsafe_b64encode(head + nonce + sealed).decode()

    def unseal(self, sealed: str) -> str | None:
        """The text of a seal; None if it is not ours, not whole, bound otherwise, or larger than any reasoning."""
        return Opener(self).unseal(sealed)

    def packed(self, sealed: str) -> bytes | None:
        """What a seal holds, still compressed; None if it is not ours, changed, or bound otherwise."""
        raw = _raw(sealed)
        key = self.keys[raw[len(VERSION) : _HEAD_BYTES]] if raw.startswith(VERSION) else None
        if key is None:
            return None
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415

        head, nonce, rest = (
            raw[:_HEAD_BYTES],
            raw[_HEAD_BYTES:][:NONCE_BYTES],
            raw[_HEAD_BYTES + NONCE_BYTES :],
        )
        try:
            return key.cipher.decrypt(nonce, rest, head + self.bound)
        except (ValueError, InvalidTag):
            return None


@dataclass(slots=True)
class Opener:
    """Opens the seals of one request, as long as they do not hold too much together; `left` is what they still may."""

    sealer: Sealer
    left: int = LARGEST_OPENED

    def unseal(self, sealed: str) -> str | None:
        """As `Sealer.unseal`; None also for what comes after too much. What is too large counts as well."""
        packed = self.sealer.packed(sealed) if self.left > 0 else None
        if packed is None:
            return None
        most = min(LARGEST_TEXT, self.left)
        inflater = zlib.decompressobj()
        try:
            text = inflater.decompress(packed, most + 1)  # not a byte more is made than that takes
            self.left -= len(text)
            whole = inflater.eof and not inflater.unused_data
            return text.decode() if whole and len(text) <= most else None
        except (ValueError, zlib.error):
            return None


def _raw(sealed: str) -> bytes:
    """The bytes of a seal; none if it is no seal. Base64 spells the same bytes in several ways: one is ours."""
    if not sealed.startswith(PREFIX) or len(sealed) > LARGEST_SEAL:
        return b""
    try:
        letters = sealed[len(PREFIX) :].encode("ascii")
        raw = base64.urlsafe_b64decode(letters)
    except ValueError:
        return b""
    return raw if base64.urlsafe_b64encode(raw) == letters else b""
