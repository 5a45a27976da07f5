"""Ids are drawn many at a time, and never twice."""

import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from shim.ambient import DRAWN, PADDED_TO, Ambient, token


def test_an_id_is_its_prefix_and_50_hexadecimal_digits():
    assert re.fullmatch(r"resp_[0-9a-f]{50}", Ambient().new_id("resp"))


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 1000])
def test_padding_fills_up_with_noise(length):
    ambient = Ambient()
    drawn = {ambient.padding(length) for _ in range(50)}
    assert all(
        re.fullmatch(r"[\w-]+", padding) and (length + len(padding)) % PADDED_TO == 0 for padding in drawn
    )
    assert len(drawn) > 25


def test_threads_draw_no_token_twice():
    with ThreadPoolExecutor(8) as pool:
        drawn = [
            one for each in pool.map(lambda _: [token() for _ in range(DRAWN * 4)], range(16)) for one in each
        ]
    assert len(set(drawn)) == len(drawn) == 16 * DRAWN * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forking beside threads: the child only draws
def test_a_forked_process_draws_tokens_of_its_own():
    token()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, token().encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 100).decode()
    os.close(reading)
    os.close(writing)
    assert re.fullmatch(r"[0-9a-f]{50}", theirs)
    assert theirs != token()
