"""Seals: ours open for whom and what they were made, all others do not, and nothing about them raises."""

from __future__ import annotations

import base64
import os
import zlib

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import assume, given
from hypothesis import strategies as st

from shim.seal import (
    KEY_ID_BYTES,
    LARGEST_OPENED,
    LARGEST_SEAL,
    LARGEST_TEXT,
    PREFIX,
    Opener,
    SealKeys,
    derived,
)

OURS = SealKeys.of([b"secret"]).sealer("content", "alice")
BITS = 8

rings = st.lists(st.binary(min_size=1, max_size=4), min_size=1, max_size=4, unique=True)


def opened(secrets, sealed, purpose="content", owner="alice"):
    return SealKeys.of(secrets).sealer(purpose, owner).unseal(sealed)


def raw(sealed):
    return base64.urlsafe_b64decode(sealed.removeprefix(PREFIX))


def spelled(data):
    return PREFIX + base64.urlsafe_b64encode(data).decode()


@given(st.text())
def test_a_seal_opens_to_what_was_sealed_in_any_process_with_the_secret(text):
    sealed = OURS.seal(text)
    assert opened([b"secret"], sealed) == text
    assert opened([b"other"], sealed) is None
    assert OURS.seal(text) != sealed


@given(rings, rings, st.text())
def test_the_first_key_seals_and_every_accepted_key_opens(sealing, opening, text):
    sealed = SealKeys.of(sealing).sealer("content", "alice").seal(text)
    assert opened(opening, sealed) == (text if sealing[0] in opening else None)


def test_the_order_of_keys_decides_what_seals():
    sealed = SealKeys.of([b"new", b"old"]).sealer("content", "alice").seal("thought")
    assert opened([b"old"], sealed) is None
    assert opened([b"new"], sealed) == opened([b"old", b"new"], sealed) == "thought"


@given(st.text(), st.text(), st.sampled_from(["content", "job"]), st.sampled_from(["content", "job"]))
def test_a_seal_opens_for_its_owner_and_its_purpose_alone(owner, other, purpose, elsewhere):
    sealed = SealKeys.of([b"secret"]).sealer(purpose, owner).seal("thought")
    assert opened([b"secret"], sealed, purpose, owner) == "thought"
    if (purpose, owner) != (elsewhere, other):
        assert opened([b"secret"], sealed, elsewhere, other) is None


def test_a_seal_opens_for_no_other_owner():
    assert opened([b"secret"], OURS.seal("thought"), owner="bob") is None
    assert opened([b"secret"], OURS.seal("thought"), purpose="job") is None


SEALED = OURS.seal("thought")


def test_a_seal_with_any_bit_flipped_does_not_open():
    for place in range(len(raw(SEALED)) * BITS):
        data = bytearray(raw(SEALED))
        data[place // BITS] ^= 1 << place % BITS
        assert OURS.unseal(spelled(bytes(data))) is None, place


def test_a_seal_of_another_version_is_not_tried(monkeypatch):
    sealed = OURS.seal("thought")
    monkeypatch.setattr("shim.seal.VERSION", b"\x02")
    assert OURS.unseal(sealed) is None
    of_two = OURS.seal("thought")
    assert OURS.unseal(of_two) == "thought"
    monkeypatch.undo()
    monkeypatch.setattr("shim.seal.SealKeys.__getitem__", None)  # no key is looked for
    assert OURS.unseal(of_two) is None


def test_a_seal_that_was_cut_anywhere_does_not_open():
    for length in range(len(raw(SEALED))):
        assert OURS.unseal(spelled(raw(SEALED)[:length])) is None, length
        assert OURS.unseal(spelled(raw(SEALED)[length + 1 :])) is None, length


@given(st.text(), st.data())
def test_a_seal_that_was_changed_cut_or_continued_does_not_open(text, data):
    sealed = OURS.seal(text)
    at = data.draw(st.integers(0, len(sealed)))
    upto = data.draw(st.integers(at, len(sealed)))
    changed = (
        sealed[:at] + data.draw(st.text(max_size=4) | st.text("-_+/=\n AQgw", max_size=4)) + sealed[upto:]
    )
    assume(changed != sealed)
    assert OURS.unseal(changed) is None


@pytest.mark.parametrize("ending", ["\n", "=", " ", "A", "%", "+", "\N{FULLWIDTH DIGIT ONE}"])
def test_another_spelling_of_a_seal_does_not_open(ending):
    assert OURS.unseal(SEALED + ending) is None
    assert OURS.unseal(ending + SEALED) is None


def test_a_seal_is_spelled_in_one_way():
    sealed = next(one for one in (OURS.seal("thought") for _ in range(1000)) if "-" in one or "_" in one)
    assert OURS.unseal(sealed) == "thought"
    assert OURS.unseal(sealed.replace("-", "+").replace("_", "/")) is None


@given(st.text() | st.binary().map(spelled))
def test_what_is_no_seal_does_not_open(text):
    assert OURS.unseal(text) is None
    assert OURS.unseal(PREFIX + text) is None


def test_what_our_key_sealed_in_another_form_does_not_open():
    (key,) = SealKeys.of([b"secret"]).all
    head, nonce = raw(SEALED)[: 1 + KEY_ID_BYTES], bytes(12)
    for packed in (
        b"",
        b"thought",
        zlib.compress(b"\xff"),
        zlib.compress(b"thought")[:-1],
        zlib.compress(b"") + b"x",
    ):
        sealed = spelled(head + nonce + key.cipher.encrypt(nonce, packed, head + OURS.bound))
        assert OURS.unseal(sealed) is None


def test_the_longest_text_opens_and_a_longer_one_does_not():
    keys = SealKeys.of([b"secret"])
    assert len(OURS.unseal(OURS.seal("é" * (LARGEST_TEXT // 2)))) == LARGEST_TEXT // 2
    assert OURS.unseal(OURS.seal("a" * (LARGEST_TEXT + 1))) is None
    assert len(OURS.seal(os.urandom(LARGEST_TEXT // 2).hex())) < LARGEST_SEAL
    cipher, head = keys.all[0].cipher, raw(SEALED)[: 1 + KEY_ID_BYTES]
    random = zlib.compress(os.urandom(LARGEST_TEXT))  # text that does not compress at all: worse than any
    assert len(spelled(head + bytes(12) + cipher.encrypt(bytes(12), random, b""))) < LARGEST_SEAL


def test_a_seal_that_swells_is_not_decompressed_any_further(monkeypatch):
    grown = []

    class Watched:
        def __init__(self):
            self._real = zlib_decompressobj()

        def decompress(self, data, limit):
            grown.append(limit)
            return self._real.decompress(data, limit)

        def __getattr__(self, name):
            return getattr(self._real, name)

    zlib_decompressobj = zlib.decompressobj
    swelling = OURS.seal("a" * (64 << 20))
    monkeypatch.setattr("shim.seal.zlib.decompressobj", Watched)
    assert OURS.unseal(swelling) is None
    assert grown == [LARGEST_TEXT + 1]


def test_the_seals_of_one_request_open_until_they_hold_too_much_together(monkeypatch):
    largest, larger = OURS.seal("a" * LARGEST_TEXT), OURS.seal("a" * (LARGEST_TEXT + 1))
    opener = Opener(OURS)
    for left in range(LARGEST_OPENED - LARGEST_TEXT, 0, -LARGEST_TEXT):
        assert opener.unseal(largest) is not None
        assert opener.left == left
    assert opener.unseal(larger) is None  # what is too large is no way around it
    assert opener.unseal(SEALED) is None
    monkeypatch.setattr("shim.seal.Sealer.packed", None)  # nor is any other one looked at
    assert opener.unseal(SEALED) is None


def test_a_seal_that_holds_more_than_is_left_is_not_decompressed_any_further():
    opener = Opener(OURS, left=10)
    assert opener.unseal(OURS.seal("a" * 11)) is None
    assert opener.left == -1
    exactly = Opener(OURS, left=10)
    assert exactly.unseal(OURS.seal("a" * 10)) == "a" * 10
    assert exactly.left == 0


def test_what_is_no_seal_of_ours_uses_nothing_up():
    opener = Opener(OURS, left=len("thought"))
    for wrong in ("gAAAA", SEALED[:-1], SealKeys.of([b"other"]).sealer("content", "alice").seal("thought")):
        assert opener.unseal(wrong) is None
    assert opener.unseal(SEALED) == "thought"


def test_a_huge_seal_is_not_even_read(monkeypatch):
    def refuse(_):
        raise AssertionError

    monkeypatch.setattr("shim.seal.base64.urlsafe_b64decode", refuse)
    assert OURS.unseal(SEALED + "A" * LARGEST_SEAL) is None


@given(st.binary(), st.binary())
def test_secrets_are_derived_as_rfc_5869_says(secret, label):
    theirs = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"grid-shim " + label)
    assert derived(secret, label) == theirs.derive(secret)


def test_a_secret_gives_apart_keys_for_its_uses():
    (key,) = SealKeys.of([b"secret"]).all
    assert len({key.id, key.owner_key[:KEY_ID_BYTES], key._key[:KEY_ID_BYTES]}) == 3
