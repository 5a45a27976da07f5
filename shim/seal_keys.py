"""Where the secrets come from that seal: the settings, a file of them, or one that is made for the user.

The file holds one secret a line, the first of which seals. Not here: sealing (`shim.seal`).
"""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

from pydantic import SecretStr

from shim.settings import Settings, data_directory, is_open_to_others

log = logging.getLogger("shim.seal")

FILE_NAME = "seal.key"

SECRET_BYTES = 32
"""Bytes of chance in a secret that is made here, and the fewest characters of one in a file."""

LARGEST_FILE = 64 << 10
"""Bytes of a file of secrets, which is a thousand of them; what is named may be a device without end."""


def seal_secrets(settings: Settings) -> tuple[bytes, ...]:
    """The accepted secrets: the first seals, all open.

    Raises:
        OSError: The file of them cannot be read, or made, or it holds none.
    """
    further = tuple(map(_bytes, settings.seal_keys_accepted))
    if settings.seal_key is not None:
        return (_bytes(settings.seal_key), *further)
    path = key_file(settings)
    if settings.seal_key_file is None and not path.exists():
        make_file(path)
    return (*read_file(path), *further)


def _bytes(secret: SecretStr) -> bytes:
    """As they stood in the environment, which may hold any."""
    return secret.get_secret_value().encode(errors="surrogateescape")


def secrets_or_passing(settings: Settings) -> tuple[bytes, ...]:
    """The accepted secrets; if none can be kept for the user, one that ends with the process.

    Raises:
        OSError: The file that the settings name cannot be read.
    """
    try:
        return seal_secrets(settings)
    except OSError as error:
        if settings.seal_key_file is not None:
            raise
        log.warning(
            "encrypted_content, and the way to what is stored, will not outlive this process: %s", error
        )
        return (os.urandom(SECRET_BYTES),)


def with_its_secrets(settings: Settings) -> Settings:
    """The settings with the secrets of this moment: their file is read once, as it may change, go, or be a pipe.

    Raises:
        OSError: The file that the settings name cannot be read.
    """
    first, *further = (
        SecretStr(secret.decode(errors="surrogateescape")) for secret in secrets_or_passing(settings)
    )
    return settings.model_copy(update={"seal_key": first, "seal_keys_accepted": tuple(further)})


def key_file(settings: Settings) -> Path:
    """The file of secrets, which `seal_key` goes before."""
    return Path(settings.seal_key_file) if settings.seal_key_file else data_directory() / FILE_NAME


def read_file(path: Path) -> tuple[bytes, ...]:
    """The secrets of a file.

    Raises:
        OSError: It cannot be read, is too large, holds no secret, or one that is too short.
    """
    lines = [line.strip() for line in _content(path).splitlines()]
    secrets = tuple(line for line in lines if line and not line.startswith(b"#"))
    if not secrets or min(map(len, secrets)) < SECRET_BYTES:
        what = f"each line must be a secret of at least {SECRET_BYTES} characters"
        raise OSError(errno.EINVAL, what, str(path))
    if is_open_to_others(path):
        log.warning("others can read %s, or write it: chmod 600", path)
    return secrets


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise OSError(
            errno.EFBIG, f"it has more than {LARGEST_FILE >> 10} KiB, and so is no file of secrets", str(path)
        )
    return content


def make_file(path: Path) -> None:
    """Make a file of one new secret, if there is no file yet.

    It is written aside and appears whole: a process that starts at the same moment reads all of it or makes none.

    Raises:
        OSError: It cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = _written_aside(path, b"")
    try:
        os.link(aside, path)
    except FileExistsError:
        pass  # another process was faster
    except OSError:  # a file system without hard links: whole in any case, and the race is a moment long
        if not path.exists():
            aside.rename(path)
    finally:
        aside.unlink(missing_ok=True)


def rotate_file(path: Path) -> int:
    """Put a new secret first in a file, which is made if need be; how many it holds now.

    Raises:
        OSError: It cannot be read or written, or is no file that another can take the place of.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    former = _content(path) if path.exists() else b""
    if former:
        read_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _written_aside(path, former).replace(path)
    return len(read_file(path))


def _written_aside(path: Path, former: bytes) -> Path:
    """A private file beside `path`: a new secret, then what was there."""
    aside = path.with_name(f"{path.name}.{os.urandom(8).hex()}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(os.urandom(SECRET_BYTES).hex().encode() + b"\n" + former)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        aside.unlink()
        raise
    return aside
