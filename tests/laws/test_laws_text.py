"""Text that comes in pieces: however it is cut, the pieces joined are the same."""

import itertools
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shim.core.jsonstrings import DEEPEST, LONGEST_PATH, StringScanner
from shim.core.text import (
    JOINED_AT,
    REPLACEMENT,
    SLICE,
    Joiner,
    Pieces,
    TagSplitter,
    Unfence,
    held_back,
    scrub,
)


def cuttings(text: str) -> list[list[str]]:
    """The text whole, letter by letter, and in two pieces at every place."""
    return [[text], list(text), *([text[:at], text[at:]] for at in range(1, len(text)))]


def joined(pieces):
    """Neighbouring pieces of one kind put together."""
    out: list[list[str]] = []
    for kind, text in pieces:
        if out and out[-1][0] == kind and kind != "call":
            out[-1][1] += text
        else:
            out.append([kind, text])
    return [tuple(pair) for pair in out]


def is_call(text):
    return "x" in text or "y" in text


def split(pieces, *, calls=True, short_cut=True):
    """As the reader of chunks splits, or feeding every piece."""
    splitter = TagSplitter(is_call if calls else None)
    found = []
    for piece in pieces:
        found += [("text", piece)] if short_cut and splitter.passes(piece) else splitter.feed(piece)
    return joined(found + splitter.flush())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("Hello", [("text", "Hello")]),
        ("  Hello \n", [("text", "  Hello \n")]),
        (" \n ", []),
        ("<", [("text", "<")]),
        ("<th", [("text", "<th")]),
        (" <thin air>", [("text", " <thin air>")]),
        ("<think>a</think>\n\nb", [("reasoning", "a"), ("text", "b")]),
        ("\n<thinking> a\n</thinking>b ", [("reasoning", "a"), ("text", "b ")]),
        ("<think>\n a \n\n b\n</think>\n\nc", [("reasoning", "a \n\n b"), ("text", "c")]),
        ("<think>\n\n</think>\n\nc", [("text", "c")]),
        ("<think></think>b", [("text", "b")]),
        ("<think>a", [("reasoning", "a")]),
        ("<think>a</thi", [("reasoning", "a</thi")]),
        ("<think>a</thinking>b", [("reasoning", "a</thinking>b")]),
        ("<think>a</think> \n", [("reasoning", "a")]),
        ("<think>a</think>b<think>c</think>", [("reasoning", "a"), ("text", "b<think>c</think>")]),
        ("b<think>a</think>", [("text", "b<think>a</think>")]),
        ("<think>a</think>\n\n<think> c</think>b", [("reasoning", "a\n\nc"), ("text", "b")]),
        ("<think>a</think>\n<thin", [("reasoning", "a"), ("text", "<thin")]),
        ("a</think>b", [("text", "a</think>b")]),
        ("<tool_call>{x</tool_call>", [("call", "{x")]),
        ("<tool_call>\n[x</tool_call>", [("call", "\n[x")]),
        ("<tool_call>\n<function=x</tool_call>", [("call", "\n<function=x")]),
        ("\n<tool_call>{x</tool_call>\n<tool_call>{y</tool_call>\n", [("call", "{x"), ("call", "{y")]),
        ("Look:\n<tool_call>{x</tool_call> then", [("text", "Look:\n"), ("call", "{x"), ("text", "then")]),
        ("<think>a</think>\n<tool_call>{x</tool_call>", [("reasoning", "a"), ("call", "{x")]),
        ("<tool_call>{x", [("call", "{x")]),
        ("<tool_call>{x</tool_", [("call", "{x</tool_")]),
        (" <tool_call>x</tool_call> b", [("text", " <tool_call>x</tool_call> b")]),
        (" <tool_call> {a</tool_call> \n b", [("text", " <tool_call> {a</tool_call> \n b")]),
        ("a <tool_call>\n {a", [("text", "a <tool_call>\n {a")]),
        ("a <tool_call> <func", [("text", "a <tool_call> <func")]),
        ("```\n<tool_call>{x</tool_call>\n``` b", [("text", "```\n<tool_call>{x</tool_call>\n``` b")]),
        ("``a`<tool_call>{x</tool_call>", [("text", "``a`"), ("call", "{x")]),
        ("```a```<tool_call>{x</tool_call>", [("text", "```a```"), ("call", "{x")]),
        ("```` ```<tool_call>{x</tool_call>", [("text", "```` ```"), ("call", "{x")]),
        ("a <tool_box>", [("text", "a <tool_box>")]),
        ("a <tool_", [("text", "a <tool_")]),
    ],
)
def test_tags_are_told_from_text_wherever_they_are_cut(text, expected):
    for pieces in cuttings(text):
        assert split(pieces) == expected, pieces


def test_calls_in_the_text_are_not_looked_for_where_no_tool_was_declared():
    for pieces in cuttings("<tool_call>{x</tool_call>"):
        assert split(pieces, calls=False) == [("text", "<tool_call>{x</tool_call>")]


def test_text_after_a_tag_that_opens_no_call_is_not_withheld():
    splitter = TagSplitter(is_call)
    assert joined(splitter.feed("the <tool_call> tag")) == [("text", "the <tool_call> tag")]
    assert splitter.feed("<tool_call> ") == []
    assert splitter.release() == [("text", "<tool_call> ")]
    assert splitter.feed("{x") == [("text", "{x")]


FRAGMENTS = [
    "<",
    "<tool_call>",
    "<think>",
    "</think>",
    "</tool_call>",
    "{x}",
    "`",
    "``",
    "```",
    "a",
    "\n",
    " ",
]


@given(st.lists(st.sampled_from(FRAGMENTS)), st.booleans(), st.data())
def test_what_passes_is_what_feeding_it_would_have_told(fragments, calls, data):
    text = "".join(fragments)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text))))) if text else []
    pieces = [text[start:end] for start, end in itertools.pairwise([0, *cuts, len(text)])]
    assert split(pieces, calls=calls) == split(pieces, calls=calls, short_cut=False)


@given(
    st.lists(
        st.sampled_from(
            [
                "<",
                "think",
                ">",
                "</",
                "tool_call",
                " ",
                "a",
                "{x",
                "{",
                "``",
                "`",
                "\n",
                "<think>",
                "</think>",
                "<tool_call>",
            ]
        )
    )
)
def test_nothing_but_tags_and_white_space_is_ever_lost(fragments):
    text = "".join(fragments)
    kept = "".join(found for _, found in split(fragments))
    for tag in ("<think>", "</think>", "<tool_call>", "</tool_call>"):
        text, kept = text.replace(tag, ""), kept.replace(tag, "")
    assert "".join(text.split()) == "".join(kept.split())
    assert split(fragments) == split(["".join(fragments)])


def test_what_is_held_back_is_released_when_something_else_comes():
    splitter = TagSplitter(is_call)
    assert splitter.feed(" \n<to") == []
    assert splitter.release() == [("text", " \n<to")]
    assert splitter.feed("ol_call>") == [("text", "ol_call>")]
    assert splitter.release() == []


def test_white_space_and_an_open_call_are_not_released():
    splitter = TagSplitter(is_call)
    splitter.feed(" \n")
    assert splitter.release() == []
    splitter.feed("<tool_call>{x</to")
    assert splitter.release() == []
    assert splitter.flush() == [("call", "{x</to")]


def test_held_back_finds_the_longest_beginning_of_a_tag():
    assert [held_back(text, "<tool>") for text in ("", "a", "a<", "a<to", "<tool", "<tool>", "<<")] == [
        0,
        0,
        1,
        3,
        5,
        0,
        1,
    ]


# -- fences ---------------------------------------------------------------------------------------------------


def unfenced(pieces):
    unfence = Unfence()
    return "".join([unfence.feed(piece) for piece in pieces]) + unfence.flush()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("``", "``"),
        ("`x`\n", "`x`\n"),
        ("  \n ", "  \n "),
        ("```\nabc\n```", "abc\n"),
        ("```lark\nabc\n```\n", "abc\n"),
        (" \n```lark\nabc\n``` \n\n", "abc\n"),
        ("```\nabc\n\n```", "abc\n\n"),
        ("```\nabc```", "abc"),
        ("```\nabc", "abc"),
        ("```\nabc\n", "abc\n"),
        ("```\na\n```\nb\n```", "a\n```\nb\n"),
        ("```\na `b` c\n```", "a `b` c\n"),
        ("```\n```", ""),
        ("```\na\n  ```", "a\n  "),
        ("```\na\n``` \n `` ``", "a\n``` \n `` ``"),
        ("```\na\n````", "a\n"),
        ("```", "```"),
        ("```abc", "```abc"),
        ("abc\n```\n", "abc\n```\n"),
    ],
)
def test_a_fence_is_taken_off_wherever_it_is_cut(text, expected):
    for pieces in cuttings(text):
        assert unfenced(pieces) == expected, pieces


# -- surrogates -----------------------------------------------------------------------------------------------


def halves(text: str) -> list[str]:
    data = text.encode("utf-16-le", "surrogatepass")
    return [data[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(data), 2)]


@given(st.text())
@example("a😀b")
def test_surrogate_halves_are_joined_wherever_a_text_is_cut(text):
    for pieces in (halves(text), [text]):
        joiner = Joiner()
        assert "".join([joiner.feed(piece) for piece in pieces]) + joiner.flush() == scrub(text)


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["a\ud83d"], f"a{REPLACEMENT}"),
        (["\ud83d", "b"], f"{REPLACEMENT}b"),
        (["\ude00b"], f"{REPLACEMENT}b"),
        (["\ud83d", "\ud83d", "\ude00"], f"{REPLACEMENT}😀"),
        (["\ud83d", "", "\ude00"], "😀"),
    ],
)
def test_a_half_without_its_partner_becomes_the_replacement_character(pieces, expected):
    joiner = Joiner()
    assert "".join([joiner.feed(piece) for piece in pieces]) + joiner.flush() == expected
    assert joiner.flush() == ""


@pytest.mark.parametrize("head", ["", "text"])
@pytest.mark.parametrize("piece", ["<tool_call>a", "<tool_call>x</tool_call>", "<think>a</think>", "`a"])
def test_a_long_piece_with_many_tags_is_looked_at_in_slices(monkeypatch, head, piece):
    """Each tag copies what follows it."""
    longest, step = [], TagSplitter._step
    monkeypatch.setattr(
        TagSplitter, "_step", lambda self, pieces: (longest.append(len(self.buffer)), step(self, pieces))[1]
    )
    text = head + piece * SLICE
    assert split([text], short_cut=False) == split([text[:11], text[11:]], short_cut=False)
    assert max(longest) < SLICE + len("</tool_call>")


# -- strings in JSON ------------------------------------------------------------------------------------------


def scanned(pieces):
    """Every string value by its path, and the scanner."""
    scanner, values, whole = StringScanner(), {}, set()
    for piece in pieces:
        for found in scanner.feed(piece):
            values[found.path] = values.get(found.path, "") + found.text
            assert found.text or found.done
            if found.done:
                whole.add(found.path)
    return values, whole, scanner


def strings_of(value, path=()):
    if isinstance(value, str):
        return {path: value}
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {at: text for key, sub in pairs for at, text in strings_of(sub, (*path, key)).items()}


def as_told(strings):
    """Strings by the first steps of their paths."""
    told = {}
    for path, text in strings.items():
        told[path[:LONGEST_PATH]] = told.get(path[:LONGEST_PATH], "") + text
    return told


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(
    value=st.dictionaries(st.text(max_size=3), _values, max_size=3) | st.lists(_values, max_size=3),
    ascii_only=st.booleans(),
    indent=st.none() | st.just(1),
    data=st.data(),
)
@example({"input": 'a😀\n"\\/'}, True, None, None)
@example({"a": [{"b": ["x", "y"]}, "z"], "": ""}, False, 1, None)
def test_every_cutting_of_json_gives_its_strings(value, ascii_only, indent, data):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    at = data.draw(st.integers(0, len(text))) if data else 1
    for pieces in ([text], list(text), [text[:at], text[at:]]):
        values, whole, scanner = scanned(pieces)
        assert values == as_told(strings_of(value))
        assert whole == set(values)
        assert scanner.complete
        assert not scanner.broken


@pytest.mark.parametrize("opening", ['["a",', '{"a":"a","b":'])
def test_a_deep_string_has_a_short_path(opening):
    scanner = StringScanner()
    pieces = scanner.feed(opening * DEEPEST)
    assert len(pieces) == DEEPEST
    assert max(len(piece.path) for piece in pieces) == LONGEST_PATH
    assert not scanner.broken


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_what_is_nested_deeper_than_parsers_read_is_broken_and_held_no_longer(opening):
    scanner = StringScanner()
    scanner.feed(opening * (DEEPEST + 1))
    assert scanner.broken
    assert len(scanner._stack) == DEEPEST


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'{"a":"\ud83d\ude00"}', "😀"),
        (r'{"a":"\ud83dx"}', f"{REPLACEMENT}x"),
        (r'{"a":"\ud83d"}', REPLACEMENT),
        (r'{"a":"\ud83d\ud83d\ude00"}', f"{REPLACEMENT}😀"),
        (r'{"a":"\ude00\n"}', f"{REPLACEMENT}\n"),
        (r'{"a":"\uzzzz"}', REPLACEMENT),
        (r'{"a":"\q\/\b\f\t\r"}', "\\q/\b\f\t\r"),
        ('{"a":"line\nbreak"}', "line\nbreak"),
    ],
)
def test_escapes_are_decoded_and_broken_ones_survive(text, expected):
    for pieces in cuttings(text):
        assert scanned(pieces)[0] == {("a",): expected}


@pytest.mark.parametrize(
    "text",
    ["ls -la", '"text"', "5", "{x}", '{"a":1]', "[}", "{,", '{"a":@}', "]", "*** Begin Patch", "{'a': 1}"],
)
def test_text_that_is_no_json_breaks_the_scanner_and_nothing_else(text):
    for pieces in cuttings(text):
        _, _, scanner = scanned(pieces)
        assert scanner.broken
        assert not scanner.complete
        assert scanner.feed('{"a":"b"}') == []


def test_nothing_is_read_after_the_end():
    assert scanned(['{"a":"b"}', '{"a":"c"}'])[0] == {("a",): "b"}


@given(st.lists(st.lists(st.text(max_size=3), max_size=2 * JOINED_AT), max_size=6))
def test_pieces_say_what_was_said_and_are_few(said):
    pieces = Pieces()
    for texts in said:
        if len(texts) == 1:
            pieces.append(texts[0])
        else:
            pieces += texts
    assert "".join(pieces) == "".join(pieces) == "".join(itertools.chain(*said))
    assert len(list(pieces)) < JOINED_AT + len(said)


def test_pieces_that_come_one_by_one_stay_few():
    pieces = Pieces()
    for _ in range(10 * JOINED_AT):
        pieces.append("a")
    assert len(list(pieces)) < JOINED_AT + 10
