"""`encrypted_content`: text that clients keep for us between requests.

A seal is `gs1.` and base64 of nonce and AES-256-GCM ciphertext over deflated UTF-8. What was sealed elsewhere, cut
or changed does not open. Nothing is stored: any process with the same secret opens the seals of any other.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import zlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PREFIX = "gs1."
NONCE_BYTES = 12
SECRET_BYTES = 32
LARGEST_TEXT = 8 << 20
"""Bytes of text in a seal: what a reasoning model writes in one turn is a thousandth of it."""


class Sealer:
    """Seals and opens text with a secret of any length."""

    def __init__(self, secret: bytes) -> None:
        self._key = hashlib.sha256(b"grid-shim seal 1\0" + secret).digest()

    @cached_property
    def _cipher(self) -> AESGCM:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 -- large, and few seal

        return AESGCM(self._key)

    def seal(self, text: str) -> str:
        """Make `encrypted_content`."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, zlib.compress(text.encode(), 6), PREFIX.encode())
        return PREFIX + base64.urlsafe_b64encode(nonce + sealed).decode()

    def unseal(self, sealed: str) -> str | None:
        """The text of a seal; None if it is not ours, not whole, or larger than any reasoning."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415

        if not sealed.startswith(PREFIX):
            return None
        try:
            raw = base64.b64decode(sealed[len(PREFIX) :], altchars=b"-_", validate=True)
            packed = self._cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], PREFIX.encode())
        except (ValueError, InvalidTag):
            return None
        inflater = zlib.decompressobj()
        text = inflater.decompress(packed, LARGEST_TEXT)
        return None if inflater.unconsumed_tail else text.decode()


def kept_secret(folder: Path) -> bytes:
    """The user's secret, made at first use and readable by nobody else.

    It is written aside and appears whole: a process that starts at the same moment reads all of it or makes none.

    Raises:
        OSError: It can be neither read nor made, or it is too short to be ours.
    """
    path = folder / "seal.key"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _make_secret(path)
    secret = path.read_bytes()
    if len(secret) < SECRET_BYTES:
        raise OSError(errno.EINVAL, "too short for a secret; delete it to have another made", str(path))
    return secret


def _make_secret(path: Path) -> None:
    aside = path.with_name(f"{path.name}.{os.urandom(8).hex()}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(os.urandom(SECRET_BYTES))
        try:
            os.link(aside, path)
        except FileExistsError:
            pass  # another process was faster
        except OSError:  # a file system without hard links: whole in any case, and the race is a moment long
            if not path.exists():
                aside.rename(path)
    finally:
        aside.unlink(missing_ok=True)
