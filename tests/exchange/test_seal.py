"""Seals: ours open, all others do not, and nothing about them raises."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.seal import LARGEST_TEXT, Sealer, kept_secret

OURS = Sealer(b"secret")


@given(st.text())
def test_a_seal_opens_to_what_was_sealed_in_any_process_with_the_secret(text):
    sealed = OURS.seal(text)
    assert Sealer(b"secret").unseal(sealed) == text
    assert Sealer(b"other").unseal(sealed) is None


@given(st.text(min_size=1), st.data())
def test_a_seal_that_was_changed_does_not_open(text, data):
    sealed = OURS.seal(text)
    place = data.draw(st.integers(0, len(sealed) - 1))
    letter = data.draw(st.characters(max_codepoint=127).filter(lambda one: one != sealed[place]))
    assert OURS.unseal(sealed[:place] + letter + sealed[place + 1 :]) in (None, text)
    assert OURS.unseal(sealed[:place]) is None


@given(st.text())
def test_what_is_no_seal_does_not_open(text):
    assert OURS.unseal(text) is None
    assert OURS.unseal(f"gs1.{text}") is None


def test_a_seal_larger_than_any_reasoning_does_not_open():
    assert OURS.unseal(OURS.seal("é" * LARGEST_TEXT)) is None


def test_the_kept_secret_is_made_once_and_for_the_user_alone(tmp_path):
    folder = tmp_path / "data"
    assert kept_secret(folder) == kept_secret(folder)
    assert (folder / "seal.key").stat().st_mode & 0o777 == 0o600


def test_many_who_come_first_have_one_secret(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(kept_secret, [tmp_path] * 64))
    assert [len(secret) for secret in found] == [32]
    assert [path.name for path in tmp_path.iterdir()] == ["seal.key"]


def test_a_secret_is_never_half_written(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("shim.seal.os.urandom", lambda count: b"x" * count if count == 8 else full(count))
        with pytest.raises(OSError, match="No space"):
            kept_secret(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(kept_secret(tmp_path)) == 32


@pytest.mark.parametrize("content", [b"", b"short"])
def test_a_secret_that_is_too_short_is_refused(tmp_path, content):
    (tmp_path / "seal.key").write_bytes(content)
    with pytest.raises(OSError, match="too short"):
        kept_secret(tmp_path)


def test_a_file_system_without_hard_links_keeps_a_secret_as_well(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("shim.seal.os.link", refuse)
    assert kept_secret(tmp_path) == kept_secret(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["seal.key"]
