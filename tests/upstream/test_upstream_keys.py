import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errors import ClientFault, UpstreamFault
from shim.upstream import keys
from shim.upstream.keys import authorization, clean_key, scrub

PASTED = [
    "sk-123456",
    " sk-123456\n",
    "Bearer sk-123456",
    "bearer  Bearer sk-123456",
    "'Bearer sk-123456'",
    '"sk-123456"',
    'Bearer "sk-123456"',
    "Authorization: Bearer sk-123456",
]


@pytest.mark.parametrize("text", PASTED)
def test_a_pasted_key_becomes_the_key_alone(text):
    assert clean_key(text) == "sk-123456"
    assert authorization(clean_key(text)) == ["authorization: Bearer sk-123456"]


@pytest.mark.parametrize("text", [None, "", "  ", "Bearer", "Bearer ", "''"])
def test_no_key_sends_no_header(text):
    assert clean_key(text) is None
    assert authorization(clean_key(text)) == []


@given(
    st.text("bearER authoiz:.-_1'\" \t\né", max_size=20) | st.sampled_from(["bearer", "BEARER", "bearer.x"])
)
def test_a_bare_key_is_what_the_long_way_makes_of_it(text):
    try:
        found = clean_key(text)
    except ClientFault:
        found = "refused"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "_BARE", re.compile(r"(?!)"))
        try:
            assert clean_key(text) == found
        except ClientFault:
            assert found == "refused"


@pytest.mark.parametrize("text", ["sk-12 3456", "sk-12\r\nx: 3456", "sk-12\u20263456", "sk-12\x003456"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(text):
    with pytest.raises(ClientFault) as caught:
        clean_key(text)
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")
    assert "3456" not in caught.value.message


@pytest.mark.parametrize("text", PASTED)
def test_an_echoed_key_is_blotted_out_however_it_was_pasted(text):
    assert scrub(UpstreamFault("key sk-123456 is bad"), text).message == "key [key] is bad"


def test_an_echoed_key_is_blotted_out():
    fault = scrub(UpstreamFault("key sk-123456 is bad", code="sk-123456", param="x"), "sk-123456")
    assert (fault.message, fault.code, str(fault)) == ("key [key] is bad", "[key]", "key [key] is bad")


def test_a_placeholder_is_left_alone():
    assert scrub(UpstreamFault("none of them"), "none").message == "none of them"
    assert scrub(UpstreamFault("none of them"), None).message == "none of them"
