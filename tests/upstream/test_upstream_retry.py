import httpx
import pytest

from shim.errors import UpstreamFault
from shim.upstream.retry import LONGEST_WAIT, Patience, Refused, retry_after

NOW = 1_763_800_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "-4"}, 0),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3),
        ({"Retry-After": "Sat, 22 Nov 2025 08:26:50 GMT"}, 10),
        ({"Retry-After": "Sat, 22 Nov 2025 08:00:00 GMT"}, 0),
        ({"Retry-After": "Sat, 22 Nov 9999999 08:00:00 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_a_wait_is_read_from_the_headers(headers, seconds):
    assert retry_after(httpx.Headers(headers), NOW) == seconds


def refused(**fields: object) -> Refused:
    return Refused(UpstreamFault("no"), **{"again": True, **fields})  # type: ignore[arg-type]


def test_waits_double_up_to_a_bound_and_are_jittered():
    patience = Patience(20, 1000.0, lambda: 0.5)
    waits = [patience.wait(refused()) for _ in range(7)]
    assert waits == [0.25, 0.5, 1.0, 2.0, LONGEST_WAIT / 2, LONGEST_WAIT / 2, LONGEST_WAIT / 2]


@pytest.mark.parametrize("status", [402, 503])
def test_a_replenishment_gets_more_time(status):
    assert Patience(4, 30.0, lambda: 1.0).wait(refused(status=status)) == 1.0


def test_the_upstreams_wish_comes_first():
    assert Patience(4, 30.0, lambda: 1.0).wait(refused(after=7.5)) == 7.5


def test_patience_ends_with_the_attempts():
    patience = Patience(3, 30.0, lambda: 0.0)
    assert [patience.wait(refused()) for _ in range(3)] == [0.0, 0.0, None]


def test_patience_ends_with_the_time():
    patience = Patience(9, 10.0, lambda: 1.0)
    assert patience.wait(refused(after=6)) == 6
    assert patience.wait(refused(after=6)) is None


def test_what_cannot_pass_is_not_awaited():
    assert Patience(9, 10.0, lambda: 0.0).wait(refused(again=False)) is None


def test_a_stale_connection_costs_no_wait():
    assert Patience(9, 0.0, lambda: 1.0).wait(refused(at_once=True)) == 0.0
