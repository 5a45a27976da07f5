"""Whatever stands in what a model or an upstream says, it ends no line, begins no event, and forges none.

Over real sockets and in each way to ask; the raw bytes are split by readers that know more line ends than they should.
"""

import json

import pytest
from fault_stage import DONE, KINDS, MODEL, USAGE, call, delta, says, streamed
from hypothesis import example, given, settings
from hypothesis import strategies as st
from upstream_loopback import reply

FORGED = [
    "\r",
    "\n",
    "\r\n",
    "\n\n",
    "\u2028",
    "\u2029",
    "\u0085",
    "\x0b\x0c\x1c\x1d\x1e",
    "\x00",
    "\ud800",
    "\udfff\ud800",
    "\ufeff",
    "data: [DONE]\n\n",
    "\r\n\r\nevent: response.completed\r\ndata: {}\r\n\r\n",
    '\n\nevent: response.completed\ndata: {"type":"response.completed"}\n\n',
    ": comment\n",
    "id: 1\nretry: 1\n",
    '"}\n\n',
    "[DONE]",
]
TEXTS = st.lists(st.sampled_from(FORGED) | st.text(max_size=3), min_size=1, max_size=4).map("".join)
TOOLS = [{"type": "function", "name": "f", "parameters": {"type": "object"}}]
EVERY = "".join(FORGED)
LINE_ENDS = set("\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\x00")


def encoded(chunk, raw):
    """A chunk as JSON: with escapes, or with the bytes as they are, halves of pairs included."""
    return json.dumps(chunk, ensure_ascii=not raw).encode("utf-8", "surrogatepass")


def scrubbed(text):
    """The text as it can be told: halves of surrogate pairs that stand alone are replaced."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_of_a_model_breaks_or_forges_an_event(stage, kind):
    @given(text=TEXTS, raw=st.booleans())
    @example(text=EVERY, raw=False)
    @example(text=EVERY, raw=True)
    @settings(max_examples=12)
    def law(text, raw):
        chunks = [
            {"id": text, "model": text, "service_tier": text, **delta(reasoning_content=f"r{text}")},
            delta(content=f"a{text}"),
            delta(tool_calls=[call(0, text, f"f{text}", json.dumps({"a": text}))]),
            delta("tool_calls", role=text),
        ]
        stage.upstream.plays(streamed(says(*(encoded(chunk, raw) for chunk in chunks), USAGE, DONE)))
        told = stage.ask(kind, tools=TOOLS)
        response = told.response or told.events[-1]["response"]
        assert response["status"] == "completed"
        message = next(item for item in response["output"] if item["type"] == "message")
        if not raw:
            assert message["content"][0]["text"] == scrubbed(f"a{text}")
        assert [item["type"] for item in response["output"]] == ["reasoning", "message", "function_call"]

    law()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["status", "stream", "reason", "refusal"])
def test_no_words_of_an_upstream_break_or_forge_an_event(stage, kind, how):
    @given(text=TEXTS)
    @example(text=EVERY)
    @settings(max_examples=5)
    def law(text):
        error = {"error": {"message": f"x{text}", "code": text, "type": text, "param": text}}
        script = {
            "status": (reply(400, json.dumps(error), connection="close"),),
            "stream": streamed(says(delta(content="a"), json.dumps(error))),
            "reason": streamed(says(delta(text or "x", content="a"), DONE)),
            "refusal": streamed(says(delta(refusal=text), delta("stop"), DONE)),
        }[how]
        stage.upstream.plays(script)
        told = stage.ask(kind, model=MODEL)
        if how in ("status", "stream"):
            message = (told.error or told.events[-2]["error"])["message"]
            assert message.startswith("x")
            assert not LINE_ENDS & set(message)

    law()
