"""Requests in as few words as possible, their translation, and the simulator's judgement of it."""

from __future__ import annotations

import json
from dataclasses import replace

from pydantic_core import to_json

from shim.core.profile import GRID, Instrument
from shim.core.request import Target, Translation, to_chat
from shim.core.validation import read_request
from shim.simulator.config import SimulatorConfig
from shim.simulator.instruments import CATALOGUE
from shim.simulator.strictness import check

EFFORTS = ("none", "low", "medium", "high", "xhigh", "max")
MAX = Instrument("text-max", efforts=EFFORTS, max_output_tokens=128_000)
TEXT_ONLY = replace(MAX, id="text-prime", images=False)
STRICT = SimulatorConfig()
SEAL = "sealed:"
IMAGE = "data:image/png;base64,iVBORw0KGgo="


def unseal(sealed):
    """Opens what `seal` made."""
    return sealed.removeprefix(SEAL) if sealed.startswith(SEAL) else None


def seal(text):
    return SEAL + text


def target(profile=GRID, instrument=MAX, replay="turn", **switches) -> Target:
    return Target(replace(profile, **switches), instrument, unseal, replay)


def translate(items, to: Target | None = None, **fields) -> Translation:
    """The translation of a request with this input."""
    request = read_request({"model": "text-max", "input": items, **fields})
    return to_chat(request, to or target())


def chat_of(items, to: Target | None = None, **fields):
    return translate(items, to, **fields).chat


def messages_of(*items, to: Target | None = None, **fields):
    return chat_of(list(items), to, **fields)["messages"]


def notes_of(*items, to: Target | None = None, **fields):
    return translate(list(items), to, **fields).notes


def assert_accepted(chat):
    """A strict supplier takes the request, as bytes and back."""
    check(json.loads(to_json(chat)), CATALOGUE["text-max"], STRICT)


def user(content):
    return {"role": "user", "content": content}


def assistant(content):
    return {"role": "assistant", "content": content}


def developer(content):
    return {"role": "developer", "content": content}


def reasoning(text=None, **fields):
    content = [] if text is None else [{"type": "reasoning_text", "text": text}]
    return {"type": "reasoning", "summary": [], "content": content, **fields}


def call(call_id="a", name="f", arguments="{}", **fields):
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, **fields}


def output(call_id="a", answer="done", **fields):
    return {"type": "function_call_output", "call_id": call_id, "output": answer, **fields}


def function(name="f", **fields):
    return {"type": "function", "name": name, **fields}


def image(url=IMAGE, **fields):
    return {"type": "input_image", "image_url": url, **fields}


def text(value):
    return {"type": "input_text", "text": value}
