"""The shortest requests that the simulator accepts, and readers of its streams."""

from __future__ import annotations

import json

from shim.simulator import DEFAULT_KEY

AUTHORIZATION = f"Bearer {DEFAULT_KEY}"


def user(text):
    return {"role": "user", "content": text}


def chat(text="hello", **fields):
    return {"model": "text-standard", "messages": [user(text)], **fields}


def streamed(text="hello", **fields):
    return chat(text, stream=True, stream_options={"include_usage": True}, **fields)


def tool(name="get_weather", **properties):
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def events(response):
    """The data of a stream's events, parsed; `[DONE]` stays a string."""
    lines = (line for line in response.text.splitlines() if line.startswith("data: "))
    return [line[6:] if line == "data: [DONE]" else json.loads(line[6:]) for line in lines]


def chunks(response):
    return [event for event in events(response) if event != "[DONE]"]


def deltas(response):
    return [chunk["choices"][0]["delta"] for chunk in chunks(response) if chunk["choices"]]


def joined(response, field):
    return "".join(delta.get(field) or "" for delta in deltas(response))


def call_deltas(response):
    return [call for delta in deltas(response) for call in delta.get("tool_calls", [])]
