import httpx
import pytest
from upstream_loopback import KEY, Naps, redirect, reply, serving, sse, upstream

from shim.errors import UpstreamFault
from shim.upstream.redirects import MOST_HOPS, Journey, Trust

GRID = "https://api.thegrid.ai/v1"


@pytest.mark.parametrize(
    ("base", "target", "trusted"),
    [
        (GRID, "https://api.thegrid.ai/r/v1/chat/completions", ()),
        (GRID, "https://supplier.thegrid.ai/x", ()),
        (GRID, "https://thegrid.ai/x", ()),
        ("https://api.thegrid.ai:8443/v1", "https://other.thegrid.ai:8443/x", ()),
        (GRID, "https://supplier.example/x", ("supplier.example",)),
        (GRID, "https://supplier.example:8443/x", ("supplier.example:8443",)),
        (GRID, "https://a.b.supplier.example/x", ("*.supplier.example",)),
        ("http://127.0.0.1:8000/v1", "http://localhost:9000/x", ()),
        ("http://10.0.0.1:8000/v1", "http://10.0.0.1:8000/x", ()),
        ("http://api.example.com/v1", "https://api.example.com/x", ()),
        ("https://example.com/v1", "https://api.example.com/x", ()),
    ],
)
def test_the_key_goes_to_those_who_may_see_it(base, target, trusted):
    assert Trust(httpx.URL(base), trusted).covers(httpx.URL(target))


@pytest.mark.parametrize(
    ("base", "target", "trusted"),
    [
        (GRID, "https://thegrid.ai.evil.example/x", ()),
        (GRID, "https://notthegrid.ai/x", ()),
        (GRID, "https://supplier.example/x", ()),
        (GRID, "https://other.thegrid.ai:8443/x", ()),
        (GRID, "https://supplier.example/x", ("other.example", "")),
        (GRID, "https://supplier.example:444/x", ("supplier.example:8443",)),
        (GRID, "https://evilsupplier.example/x", ("*.supplier.example",)),
        (GRID, "http://127.0.0.1/x", ()),
        ("http://10.0.0.1:8000/v1", "http://10.0.0.1:8001/x", ()),
        ("http://10.0.0.1:8000/v1", "https://10.9.0.1/x", ()),
        ("http://127.0.0.1:8000/v1", "https://api.thegrid.ai/x", ()),
        ("https://one.herokuapp.com/v1", "https://two.herokuapp.com/x", ()),
        ("https://one.co.uk/v1", "https://two.co.uk/x", ()),
        ("http://api.example.com/v1", "http://other.example.com/x", ()),
        ("https://api.example.com/v1", "https://other.example.com/x", ()),
        ("https://mine.ngrok-free.app/v1", "https://theirs.ngrok-free.app/x", ()),
    ],
)
def test_the_key_goes_to_nobody_else(base, target, trusted):
    assert not Trust(httpx.URL(base), trusted).covers(httpx.URL(target))


def journey(base: str = GRID, *trusted: str) -> Journey:
    return Journey(Trust(httpx.URL(base), trusted), httpx.URL(f"{base}/chat/completions"))


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        (None, "without saying where"),
        ("", "without saying where"),
        ("https://supplier.example/x", "supplier.example.*trusted_hosts"),
        ("http://api.thegrid.ai/x", "https to http"),
        ("ftp://api.thegrid.ai/x", "plain HTTP URL"),
        ("https://user:pass@api.thegrid.ai/x", "plain HTTP URL"),
        ("https://api.thegrid.ai\\@evil.example/", "plain HTTP URL"),
        ("https://[::1/x", "plain HTTP URL"),
        ("https://api.thegrid.ai:99999999/x", "plain HTTP URL|not trusted"),
        ("/v1/chat/completions", "in a circle"),
    ],
)
def test_a_redirect_that_leads_astray_is_refused_with_a_reason(location, reason):
    with pytest.raises(UpstreamFault, match=reason):
        journey().follow(307, location)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304])
def test_a_redirect_that_loses_the_body_is_a_mistake_in_the_base_url(status):
    with pytest.raises(UpstreamFault, match="base URL looks wrong"):
        journey().follow(status, "/r/v1/chat/completions")


def test_a_trusted_host_does_not_excuse_clear_text():
    with pytest.raises(UpstreamFault, match="https to http"):
        journey(GRID, "supplier.example").follow(307, "http://supplier.example/x")


def test_five_hops_are_followed_and_no_more():
    path = journey()
    for hop in range(MOST_HOPS):
        assert path.follow(308, f"/hop/{hop}#part") == httpx.URL(f"https://api.thegrid.ai/hop/{hop}")
    with pytest.raises(UpstreamFault, match="more than 5"):
        path.follow(307, "/one/more")


async def test_the_redirected_request_is_the_same_request():
    async with serving(redirect("/r/v1/chat/completions"), sse("a")) as server:
        up = upstream(server.url())
        async with await up.open(b'{"model":"x"}', KEY, request_id="req_1") as stream:
            assert [read async for read in stream] == [["a"]]
        await up.aclose()
    first, second = server.requests
    assert (first.path, second.path) == ("/v1/chat/completions", "/r/v1/chat/completions")
    assert (second.method, second.body, second.headers) == (first.method, first.body, first.headers)
    assert second.headers["authorization"] == f"Bearer {KEY}"
    assert second.headers["x-request-id"] == "req_1"
    assert second.headers["accept-encoding"] == "identity"
    assert server.connections == 1


async def test_the_request_follows_from_one_loopback_port_to_another():
    async with (
        serving(sse("a")) as target,
        serving(redirect(target.url("/x", host="localhost"), 308)) as server,
    ):
        up = upstream(server.url())
        async with await up.open(b"{}", KEY):
            pass
        await up.aclose()
    assert target.requests[0].headers["authorization"] == f"Bearer {KEY}"


async def test_a_retry_begins_again_at_the_original_url():
    async with serving(redirect("/r"), reply(503), redirect("/r2"), sse("a")) as server:
        up = upstream(server.url(), Naps())
        async with await up.open(b"{}", KEY) as stream:
            assert stream.attempts == 2
        await up.aclose()
    chat = "/v1/chat/completions"
    assert [request.path for request in server.requests] == [chat, "/r", chat, "/r2"]


async def test_nothing_is_sent_to_a_host_without_trust_nor_tried_again():
    async with serving(redirect("http://192.0.2.1/x")) as server:
        up = upstream(server.url())
        with pytest.raises(UpstreamFault, match=r"192\.0\.2\.1"):
            await up.open(b"{}", KEY)
        await up.aclose()
    assert len(server.requests) == 1
