"""Content parts: text, images, files and audio, as far as Chat Completions can say them."""

from __future__ import annotations

import base64

import pytest
from request_asks import (
    IMAGE,
    TEXT_ONLY,
    assistant,
    call,
    image,
    messages_of,
    notes_of,
    output,
    target,
    text,
    translate,
    user,
)

from shim.errors import ClientFault

PDF = base64.b64encode(b"%PDF-1.7 pages").decode()


def encoded(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


def file(data=None, name=None, **fields):
    return {"type": "input_file", "file_data": data, "filename": name, **fields}


def content(*parts):
    return messages_of(user(list(parts)))[0]["content"]


@pytest.mark.parametrize("kind", ["input_text", "output_text", "text", "summary_text", "reasoning_text"])
def test_text_of_any_name_is_text_in_any_message(kind):
    part = {"type": kind, "text": "words"}
    assert messages_of(user([part]), assistant([part, part]), user("?"))[:2] == [
        user("words"),
        assistant("wordswords"),
    ]


def test_text_alone_is_a_string_and_parts_stand_only_beside_media():
    assert content(text("a"), text("b")) == "a\nb"
    assert content() == ""
    assert content(text("a"), image()) == [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": IMAGE}},
    ]


@pytest.mark.parametrize(
    ("detail", "sent", "noted"),
    [
        (None, None, 0),
        ("", None, 0),
        ("low", "low", 0),
        ("high", "high", 0),
        ("auto", "auto", 0),
        ("original", "high", 1),
    ],
)
def test_the_detail_of_an_image_is_one_that_chat_knows(detail, sent, noted):
    translation = translate([user([image(detail=detail)])])
    assert translation.chat["messages"][0]["content"][0]["image_url"].get("detail") == sent
    assert len(translation.notes) == noted


def test_an_image_in_an_output_follows_the_tool_messages_in_one_user_message():
    items = [
        call("a"),
        call("b"),
        output("a", [text("seen:"), image()]),
        output("b", [image("https://x/y.png")]),
        user("?"),
    ]
    messages = messages_of(*items)
    assert [message["role"] for message in messages] == ["assistant", "tool", "tool", "user", "user"]
    assert [messages[1]["content"], messages[2]["content"]] == ["seen:\n[image]", "[image]"]
    assert messages[3]["content"] == [
        {"type": "text", "text": "<tool_output call_id=a>"},
        {"type": "image_url", "image_url": {"url": IMAGE}},
        {"type": "text", "text": "<tool_output call_id=b>"},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
    ]


def test_an_image_in_the_assistants_words_leaves_its_mark_and_a_note():
    items = [assistant([text("Here: "), image()]), user("thanks")]
    assert messages_of(*items)[0] == assistant("Here: [image]")
    assert notes_of(*items) == (
        "input[0].content: images, files and audio cannot stand here and were left out",
    )


REFUSED_IMAGES = {
    "an image for an instrument that takes none": (
        image(),
        target(instrument=TEXT_ONLY),
        ("does not take image input", "input[0].content[1]", "unsupported_image_input"),
    ),
    "an image by file id": (
        {"type": "input_image", "file_id": "file_1"},
        None,
        ("Files are not stored here", "input[0].content[1].file_id", None),
    ),
    "no image at all": (
        {"type": "input_image"},
        None,
        (
            "Missing required parameter: 'input[0].content[1].image_url'.",
            "input[0].content[1].image_url",
            "missing_required_parameter",
        ),
    ),
    "an empty url": (
        image(""),
        None,
        ("Missing required parameter", "input[0].content[1].image_url", "missing_required_parameter"),
    ),
}


@pytest.mark.parametrize("case", REFUSED_IMAGES)
def test_an_image_that_cannot_be_sent_is_refused_with_its_path(case):
    part, to, (words, param, code) = REFUSED_IMAGES[case]
    with pytest.raises(ClientFault) as caught:
        messages_of(user([text("see"), part]), to=to)
    assert words in caught.value.message
    assert (caught.value.param, caught.value.code) == (param, code)


TEXT_FILES = {
    "bare base64": (file(encoded("héllo"), "a.txt"), "a.txt", "héllo"),
    "an unknown ending": (file(encoded("let x;"), "a.zig"), "a.zig", "let x;"),
    "no name": (file(encoded("x")), "file", "x"),
    "a data url": (file(f"data:application/json;base64,{encoded('{}')}", "a.json"), "a.json", "{}"),
    "a data url with a charset": (
        file(f"data:text/csv;charset=utf-8;base64,{encoded('a,b')}", "a"),
        "a",
        "a,b",
    ),
    "a data url without a type": (file("data:,a%20b", "a"), "a", "a b"),
    "a data url without base64": (file("data:text/plain,%C3%BC", "a"), "a", "ü"),
    "an empty file": (file("", "a.txt"), "a.txt", ""),
}


@pytest.mark.parametrize("case", TEXT_FILES)
def test_a_file_of_text_is_text(case):
    part, name, inside = TEXT_FILES[case]
    assert content(part) == f"<file name={name!r}>\n{inside}\n</file>"


@pytest.mark.parametrize(
    "part",
    [
        file(PDF, "a.pdf"),
        file(PDF, "a"),
        file(f"data:application/pdf;base64,{PDF}", "a"),
        file(f"data:application/octet-stream;base64,{PDF}", "a.bin"),
    ],
)
def test_a_pdf_is_a_file_however_it_comes(part):
    name = part["filename"]
    wanted = {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": name}}
    assert content(part) == [wanted]


def test_a_file_in_an_output_follows_like_an_image():
    messages = messages_of(call("a"), output("a", [file(PDF, "a.pdf")]))
    assert messages[1]["content"] == "[file]"
    assert messages[2]["content"][1]["type"] == "file"


REFUSED_FILES = {
    "bad base64": (file("not base64!", "a.txt"), ("not valid base64", ".file_data", "invalid_value")),
    "bad base64 in a pdf": (
        file("data:application/pdf;base64,?", "a"),
        ("not valid base64", ".file_data", "invalid_value"),
    ),
    "base64 with foreign letters": (
        file("ümläut", "a.txt"),
        ("not valid base64", ".file_data", "invalid_value"),
    ),
    "a picture": (
        file(f"data:image/png;base64,{encoded(bytes([137, 80]))}", "a.png"),
        ("Files of type 'image/png' cannot be sent", "", "unsupported_file"),
    ),
    "bytes of no known kind": (
        file(encoded(bytes([0, 255])), "a.bin"),
        ("neither PDF nor UTF-8 text", "", "unsupported_file"),
    ),
    "a url": (file(file_url="https://x/a.pdf"), ("Files by URL are not fetched", "", "unsupported_file")),
    "an id": (file(file_id="file_1"), ("Files are not stored here", "", "unsupported_file")),
    "nothing": (file(), ("Files by URL are not fetched", "", "unsupported_file")),
}


@pytest.mark.parametrize("case", REFUSED_FILES)
def test_a_file_that_chat_cannot_carry_is_refused_with_its_path(case):
    part, (words, behind, code) = REFUSED_FILES[case]
    with pytest.raises(ClientFault) as caught:
        content(part)
    assert words in caught.value.message
    assert (caught.value.param, caught.value.code) == (f"input[0].content[0]{behind}", code)


def test_audio_goes_as_it_is():
    sound = {"data": "AAAA", "format": "wav"}
    assert content({"type": "input_audio", "input_audio": sound}) == [
        {"type": "input_audio", "input_audio": sound}
    ]
    messages = messages_of(call("a"), output("a", [{"type": "input_audio", "input_audio": sound}]))
    assert messages[1]["content"] == "[audio]"


def test_a_part_of_an_unknown_type_is_left_out_with_a_note():
    items = [user([text("a"), {"type": "hologram", "size": 3}])]
    assert messages_of(*items) == [user("a")]
    assert notes_of(*items) == ("input[0].content[1]: a part of type 'hologram' was left out",)
