import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.upstream.urls import is_loopback, is_within, normalise_base_url, origin

MEANT = {
    "https://api.thegrid.ai/v1": "https://api.thegrid.ai/v1",
    "https://api.thegrid.ai": "https://api.thegrid.ai/v1",
    "https://api.thegrid.ai/": "https://api.thegrid.ai/v1",
    "api.thegrid.ai": "https://api.thegrid.ai/v1",
    "  'https://api.thegrid.ai/v1/'\n": "https://api.thegrid.ai/v1",
    '"https://api.thegrid.ai/v1"': "https://api.thegrid.ai/v1",
    "https://api.thegrid.ai/v1/chat/completions": "https://api.thegrid.ai/v1",
    "https://api.thegrid.ai/v1/chat/completions/": "https://api.thegrid.ai/v1",
    "https://api.thegrid.ai/v1/responses": "https://api.thegrid.ai/v1",
    "https://api.thegrid.ai/v1/models": "https://api.thegrid.ai/v1",
    "https://api.thegrid.ai/v1/v1": "https://api.thegrid.ai/v1",
    "https://api.thegrid.ai/v1/v1/v1//chat/completions": "https://api.thegrid.ai/v1",
    "HTTPS://API.TheGrid.AI:443/v1": "https://api.thegrid.ai/v1",
    "//api.thegrid.ai/v1": "https://api.thegrid.ai/v1",
    "https://api.thegrid.ai/chat/completions": "https://api.thegrid.ai/v1",
    "https://openrouter.ai/api/v1": "https://openrouter.ai/api/v1",
    "https://gateway.example/llm": "https://gateway.example/llm",
    "localhost:11434": "http://localhost:11434/v1",
    "127.0.0.1:8000/v1": "http://127.0.0.1:8000/v1",
    "[::1]:8000": "http://[::1]:8000/v1",
    "0.0.0.0:8000": "http://0.0.0.0:8000/v1",
    "http://192.168.1.5:8000": "http://192.168.1.5:8000/v1",
    "gpu-box:8000": "https://gpu-box:8000/v1",
    "https://bücher.example/v1": "https://xn--bcher-kva.example/v1",
}

REFUSED = {
    "": "empty",
    "  '' ": "empty",
    "ftp://host/v1": "must begin with",
    "file:///etc/passwd": "must begin with",
    "https:/host/v1": "two slashes",
    "https://": "no valid host",
    "https://user:secret@host/v1": "user name or password",
    "https://host/v1?key=1": "query",
    "https://host/v1#part": "query",
    "https://host:port/v1": "not valid",
    "https://ho st/v1": "not valid|valid host",
    "https://ho\nst/v1": "not valid",
    "http://api.thegrid.ai/v1": "in clear",
    "http://thegrid.ai": "in clear",
}


@pytest.mark.parametrize(("text", "meant"), MEANT.items())
def test_a_pasted_base_url_becomes_the_one_that_was_meant(text, meant):
    assert normalise_base_url(text) == meant


@pytest.mark.parametrize(("text", "reason"), REFUSED.items())
def test_an_unusable_base_url_is_refused_in_one_sentence(text, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        normalise_base_url(text)
    assert "secret" not in str(caught.value)


@given(
    st.one_of(
        st.text(max_size=40),
        st.builds(
            "{}{}{}".format,
            st.sampled_from(["", "http://", "https://", "//"]),
            st.text("abc.:0159[]-_é%", max_size=12),
            st.text("/v1chatcompletions%? ", max_size=30),
        ),
        st.lists(st.sampled_from(["/v1", "/", "/chat/completions", "/models", "/responses", "/x"])).map(
            lambda parts: "https://host" + "".join(parts)
        ),
    )
)
def test_normalising_twice_changes_nothing(text):
    try:
        once = normalise_base_url(text)
    except ValueError:
        return
    assert normalise_base_url(once) == once


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("api.localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost.", True),
        ("localhost.example", False),
        ("10.0.0.1", False),
        ("127.0.0.1.example", False),
    ],
)
def test_loopback_is_known_by_name_and_address(host, loopback):
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("host", "within"),
    [
        ("thegrid.ai", True),
        ("API.thegrid.ai.", True),
        ("a.b.thegrid.ai", True),
        ("notthegrid.ai", False),
        ("thegrid.ai.example", False),
    ],
)
def test_a_host_is_within_a_domain_by_whole_labels(host, within):
    assert is_within(host, "thegrid.ai") is within


def test_an_origin_knows_the_schemes_port():
    assert origin(httpx.URL("https://Host./x")) == ("https", "host", 443)
    assert origin(httpx.URL("http://host:8080")) == ("http", "host", 8080)
