"""Every boundary holds for the corpus, for whatever Hypothesis draws, and for what it makes of the corpus."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fuzz_targets import JSON, TARGETS, respelled
from hypothesis import given, settings
from hypothesis import strategies as st

CORPUS = Path(__file__).parent / "corpus"
SEEDS = {name: sorted((CORPUS / name).iterdir()) for name in TARGETS}
LARGEST = 4096

_WORDS = {
    "sse": [b"data: ", b"data:", b"\n\n", b"\r", b"\r\n", b"\xef\xbb\xbf", b":", b"id: 1", b"event: x", b"[DONE]", b"{", b"\0"],
    "http1": [b"HTTP/1.1 ", b"200 OK", b"\r\n", b"\r\n\r\n", b"content-length: ", b"transfer-encoding: chunked", b"0\r\n\r\n",
              b"1\r\na\r\n", b"connection: close", b"100 Continue", b"204 ", b"3"],
    "jsonstrings": [b'"', b"\\", b"\\u", b"d83d", b"\\ude00", b"{", b"}", b"[", b"]", b":", b",", b"null", b"1", b" ", "é".encode()],
    "seal": [b"gs.", b"\x01", b"x\x9c", b"\0" * 8, b"=", b"-"],
}  # fmt: skip


def of_words(name):
    """Bytes of what the boundary knows, and of anything between."""
    words = st.sampled_from(_WORDS[name]) if name in _WORDS else st.nothing()
    return st.lists(words | st.binary(max_size=3), max_size=12).map(b"".join)


@st.composite
def spliced(draw, name):
    """Two seeds cut anywhere and put together, with a few bytes changed."""
    first, second = (draw(st.sampled_from(SEEDS[name])).read_bytes() for _ in range(2))
    data = bytearray(first[: draw(st.integers(0, len(first)))] + second[draw(st.integers(0, len(second))) :])
    for place in draw(st.lists(st.integers(0, max(0, len(data) - 1)), max_size=3)):
        data[place : place + 1] = draw(st.binary(max_size=2))
    return bytes(data)


@pytest.mark.parametrize(
    "seed",
    [seed for seeds in SEEDS.values() for seed in seeds],
    ids=lambda seed: f"{seed.parent.name}-{seed.name}",
)
def test_the_corpus_holds(seed):
    TARGETS[seed.parent.name](seed.read_bytes())


def test_the_targets_need_nothing_that_only_pytest_gives():
    """As when coverage leads."""
    script = f"import sys; sys.path.insert(0, {str(CORPUS.parent)!r}); from fuzz_targets import TARGETS; TARGETS['seal'](b'x')"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stderr


def test_the_corpus_is_small():
    assert set(TARGETS) == {folder.name for folder in CORPUS.iterdir()}
    for seeds in SEEDS.values():
        assert 10 <= len(seeds) <= 64
        assert max(seed.stat().st_size for seed in seeds) <= LARGEST


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
def test_any_bytes_hold(name, data):
    TARGETS[name](data.draw(st.binary(max_size=64) | of_words(name) | spliced(name)))


@pytest.mark.parametrize("name", JSON)
@settings(max_examples=200)
@given(data=st.data())
def test_json_in_which_a_few_values_are_others_holds(name, data):
    chance = data.draw(st.randoms(use_true_random=False))
    given = data.draw(st.sampled_from(SEEDS[name])).read_bytes()
    for _ in range(data.draw(st.integers(1, 3))):
        given = respelled(given, chance) or given
    TARGETS[name](given)
