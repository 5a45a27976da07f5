"""The secrets that seal: their order, their file, and how it is made, kept and rotated."""

from __future__ import annotations

import io
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shim.cli.commands import grid_shim
from shim.seal_keys import (
    LARGEST_FILE,
    key_file,
    make_file,
    read_file,
    rotate_file,
    seal_secrets,
    secrets_or_passing,
    with_its_secrets,
)
from shim.settings import Settings, data_directory

OLD, NEW = b"o" * 32, b"n" * 64


@pytest.fixture(autouse=True)
def data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("GRID_SHIM_CONFIG", raising=False)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys"


def written(path, text, mode=0o600):
    path.write_bytes(text)
    path.chmod(mode)
    return Settings(seal_key_file=str(path))


def kept(path):
    if not path.exists():
        make_file(path)
    return read_file(path)


def test_the_setting_seals_and_the_accepted_ones_open():
    settings = Settings(seal_key="now", seal_keys_accepted="before, long ago")
    assert seal_secrets(settings) == (b"now", b"before", b"long ago")
    assert not data_directory().exists()
    assert "before" not in repr(settings)


def test_a_secret_in_the_environment_may_hold_any_bytes(monkeypatch):
    monkeypatch.setenv("GRID_SHIM_SEAL_KEY", os.fsdecode(b"\xff\xfe now"))
    monkeypatch.setenv("GRID_SHIM_SEAL_KEYS_ACCEPTED", os.fsdecode(b"\xc3\xa9,\xc3"))
    assert seal_secrets(Settings()) == (b"\xff\xfe now", b"\xc3\xa9", b"\xc3")


def test_a_list_in_the_file_of_settings_may_hold_any_secret(monkeypatch, path):
    path.write_text('seal_key = "a,b"\nseal_keys_accepted = ["c,d", " e"]\n')
    monkeypatch.setenv("GRID_SHIM_CONFIG", str(path))
    assert seal_secrets(Settings()) == (b"a,b", b"c,d", b" e")


@pytest.mark.parametrize("wrong", [{"seal_key": ""}, {"seal_keys_accepted": [""]}])
def test_an_empty_secret_is_refused(wrong):
    with pytest.raises(ValueError, match="at least 1"):
        Settings(**wrong)


@pytest.mark.parametrize("text", [NEW + b"\n" + OLD, b"# of May\n\n " + NEW + b" \r\n" + OLD + b"\r\n\n"])
def test_a_file_holds_one_secret_a_line_and_the_accepted_settings_come_after(path, text):
    settings = written(path, text)
    assert seal_secrets(settings) == (NEW, OLD)
    assert seal_secrets(Settings(seal_key_file=str(path), seal_keys_accepted="x")) == (NEW, OLD, b"x")
    assert seal_secrets(Settings(seal_key_file=str(path), seal_key="y")) == (b"y",)


@pytest.mark.parametrize("text", [b"", b"\n", b"short\n", NEW + b"\nshort\n", b"#" + NEW])
def test_a_file_without_secrets_or_with_a_short_one_is_refused(path, text):
    settings = written(path, text)
    for read in (seal_secrets, secrets_or_passing):
        with pytest.raises(OSError, match="each line must be a secret"):
            read(settings)


@pytest.mark.parametrize("endless", ["/dev/zero", "/dev/urandom"])
def test_a_device_without_end_is_read_no_further_than_a_file_may_be_large(endless, monkeypatch):
    """Else it fills the memory."""
    taken = []

    class Watched(io.FileIO):
        def readinto(self, buffer):
            taken.append(super().readinto(buffer))
            assert sum(taken) <= 3 * LARGEST_FILE  # what Python reads ahead included
            return taken[-1]

        def readall(self):
            raise AssertionError("it has no end")

    monkeypatch.setattr(Path, "open", lambda path, _: io.BufferedReader(Watched(path)))
    for read in (seal_secrets, secrets_or_passing, lambda settings: rotate_file(key_file(settings))):
        with pytest.raises(OSError, match=r"no file of secrets|no regular file"):
            read(Settings(seal_key_file=endless))


@pytest.mark.parametrize("more", [0, 1])
def test_a_file_of_as_many_secrets_as_there_may_be_is_read(path, more):
    lines = LARGEST_FILE // (len(NEW) + 1)
    text = (NEW + b"\n") * lines
    settings = written(path, text + b"#" * (LARGEST_FILE + more - len(text)))
    if more:
        with pytest.raises(OSError, match="more than 64 KiB"):
            seal_secrets(settings)
    else:
        assert len(seal_secrets(settings)) == lines


@pytest.mark.parametrize("size", [1, 200])
def test_a_pipe_is_read_to_its_end_however_it_comes(tmp_path, size):
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o600)

    def say():
        with path.open("wb", buffering=0) as pipe:
            for start in range(0, len(text), size):
                pipe.write(text[start : start + size])

    text = NEW + b"\n" + OLD + b"\n"
    with ThreadPoolExecutor(1) as pool:
        pool.submit(say)
        settings = with_its_secrets(Settings(seal_key_file=str(path)))
    assert seal_secrets(settings) == (NEW, OLD)  # without another look


@pytest.mark.parametrize("name", ["/dev/null", "/dev/zero"])
def test_rotating_takes_the_place_of_no_device(name, monkeypatch):
    monkeypatch.setattr(Path, "replace", lambda *_: pytest.fail("it was replaced"))
    with pytest.raises(OSError, match="no regular file"):
        rotate_file(Path(name))


def test_a_file_that_the_settings_name_is_not_made(path):
    for read in (seal_secrets, secrets_or_passing):
        with pytest.raises(FileNotFoundError):
            read(Settings(seal_key_file=str(path)))


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_a_file_that_others_can_read_is_warned_of(path, caplog, mode, warned):
    with caplog.at_level(logging.WARNING):
        assert seal_secrets(written(path, NEW, mode)) == (NEW,)
    assert ("chmod 600" in caplog.text) is warned
    assert NEW.decode() not in caplog.text


def test_the_kept_secret_is_made_once_and_for_the_user_alone():
    assert seal_secrets(Settings()) == seal_secrets(Settings())
    assert (data_directory() / "seal.key").stat().st_mode & 0o777 == 0o600
    assert [len(secret) for secret in seal_secrets(Settings())] == [64]


def test_many_who_come_first_have_one_secret(path):
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(kept, [path] * 64))
    assert len(found) == 1
    assert [one.name for one in path.parent.iterdir() if one.is_file()] == [path.name]


def test_a_secret_is_never_half_written(path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    for make in (make_file, rotate_file):
        with monkeypatch.context() as broken:
            broken.setattr("shim.seal_keys.os.fsync", full)
            with pytest.raises(OSError, match="No space"):
                make(path)
        assert not any(one.is_file() for one in path.parent.iterdir())


def test_a_file_system_without_hard_links_keeps_a_secret_as_well(path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("shim.seal_keys.os.link", refuse)
    assert kept(path) == kept(path)
    first = path.read_bytes()
    make_file(path)  # another process was faster
    assert path.read_bytes() == first
    assert [one.name for one in path.parent.iterdir() if one.is_file()] == [path.name]


def test_a_secret_that_cannot_be_kept_ends_with_the_process(monkeypatch, caplog):
    monkeypatch.setattr("platformdirs.user_data_dir", lambda *_: "/proc/nope")
    assert secrets_or_passing(Settings()) != secrets_or_passing(Settings())
    assert "will not outlive this process" in caplog.text


def test_rotating_puts_a_new_secret_first_and_keeps_what_is_there(path):
    written(path, b"# of May\n" + OLD)
    assert rotate_file(path) == 2
    new, *former = read_file(path)
    assert former == [OLD]
    assert new != OLD
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"# of May\n" in path.read_bytes()


def test_rotating_follows_a_link_and_spoils_no_file_that_it_cannot_read(path, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(path)
    assert rotate_file(link) == 1
    assert link.is_symlink()
    path.write_bytes(b"not a secret")
    with pytest.raises(OSError, match="each line"):
        rotate_file(path)
    assert path.read_bytes() == b"not a secret"


def rotate(*arguments):
    return grid_shim.main(["seal", "rotate", *arguments], standalone_mode=False)


def test_the_command_rotates_the_users_file_or_the_one_that_is_named(path, capsys):
    first = seal_secrets(Settings())
    rotate()
    assert seal_secrets(Settings())[1:] == first
    rotate("--seal-key-file", str(path))
    assert len(read_file(path)) == 1
    said = capsys.readouterr().out
    assert "holds 2 keys;" in said
    assert f"{path} holds 1 key;" in said
    assert not any(secret.decode() in said for secret in seal_secrets(Settings()))


def test_the_command_says_why_it_cannot_rotate(path):
    with pytest.raises(Exception, match="in no file"):
        rotate("--set", "seal_key=secret")
    path.write_bytes(b"short")
    with pytest.raises(Exception, match="cannot be rotated: each line"):
        rotate("--seal-key-file", str(path))
