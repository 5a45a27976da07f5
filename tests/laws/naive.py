"""A naive reader of scripts: what response a script must become, whatever its wire form.

Written from the rules (`docs` and the recorded wire), without a line of the shim: this is the oracle of law 3.
Items are given without their `id`; a call whose script has no id has `call_id` None here.
"""

import json
from typing import Any

from script import Call, Script, Telling


def predicted(script: Script, telling: Telling) -> dict[str, Any]:
    """The parts of the final response that depend on what the model said."""
    cut = script.finish in ("length", "content_filter")
    items = _items(script, telling)
    if script.finish == "content_filter" and script.calls:
        del items[
            len(items) - len(script.calls) + 1 :
        ]  # the first call was told as it grew, the others never
    if items and (script.finish == "content_filter" or (cut and not _last_call_is_whole(script))):
        _mark_cut(items[-1])
        if items[-1]["type"] == "function_call":
            items[-1]["arguments"] = script.calls[0 if script.finish == "content_filter" else -1].text
    response = {
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": _REASONS[script.finish]} if cut else None,
        "error": None,
        "output": items,
        "usage": _usage(script.usage or {}),
        "service_tier": script.tier or "default",
    }
    if script.model:
        response["served_model"] = script.model
    return response


_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}


def _last_call_is_whole(script: Script) -> bool:
    """Whether the limit came after the last call; without any arguments that is not known."""
    return bool(script.calls) and script.calls[-1].text != ""


def _items(script: Script, telling: Telling) -> list[dict[str, Any]]:
    items = []
    if script.reasoning:
        items.append(_reasoning(script.reasoning, telling))
    if parts := _parts(script):
        phase = "commentary" if script.calls else "final_answer"
        message = {
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": parts,
            "phase": phase,
        }
        items.append(message)
    items.extend(_call(call) for call in script.calls)
    return items


def _reasoning(text: str, telling: Telling) -> dict[str, Any]:
    if telling.summary:
        item = {"type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}
    else:
        item = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": text}]}
    return item | ({"encrypted_content": f"sealed:{text}"} if telling.sealed else {})


def _parts(script: Script) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if script.text.strip():
        part = {"type": "output_text", "text": script.text, "logprobs": list(script.logprobs)}
        part["annotations"] = [
            {"type": "url_citation", **entry["url_citation"]} for entry in script.citations
        ]
        parts.append(part)
    if script.refusal:
        parts.append({"type": "refusal", "refusal": script.refusal})
    return parts


def _call(call: Call) -> dict[str, Any]:
    item = {"status": "completed", "call_id": call.call_id, **_kind(call)}
    if call.tool.namespace:
        item["namespace"] = call.tool.namespace
    return item


def _kind(call: Call) -> dict[str, Any]:
    said = call.said
    match call.tool.kind:
        case "function":
            return {"type": "function_call", "name": call.tool.name, "arguments": call.text or "{}"}
        case "custom":
            return {"type": "custom_tool_call", "name": call.tool.name, "input": said["input"]}
        case "tool_search":
            return {"type": "tool_search_call", "execution": "client", "arguments": said}
        case "shell":
            return {"type": "shell_call", "environment": {"type": "local"}, "action": _shell(said)}
        case "local_shell":
            return {"type": "local_shell_call", "action": _exec(said)}
        case _:
            return {"type": "apply_patch_call", "operation": _operation(said)}


def _shell(said: dict[str, Any]) -> dict[str, Any]:
    return {
        "commands": said["commands"],
        "timeout_ms": said.get("timeout_ms"),
        "max_output_length": said.get("max_output_length"),
    }


def _exec(said: dict[str, Any]) -> dict[str, Any]:
    given = {name: said.get(name) for name in ("timeout_ms", "working_directory")}
    return {
        "type": "exec",
        "command": said["command"],
        "env": said.get("env", {}),
        **{name: value for name, value in given.items() if value is not None},
    }


def _operation(said: dict[str, Any]) -> dict[str, Any]:
    """A deletion has no diff; the others always have one."""
    if said["type"] == "delete_file":
        return {"type": said["type"], "path": said["path"]}
    return {"type": said["type"], "path": said["path"], "diff": said.get("diff", "")}


def _mark_cut(item: dict[str, Any]) -> None:
    """Only the last item was cut; reasoning has no status, and a patch call knows no incomplete one."""
    if item["type"] != "reasoning":
        item["status"] = "in_progress" if item["type"] == "apply_patch_call" else "incomplete"


def _usage(usage: dict[str, Any]) -> dict[str, Any]:
    total_in, total_out = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
    details_in = usage.get("prompt_tokens_details", {})
    details_out = usage.get("completion_tokens_details", {})
    return {
        "input_tokens": total_in,
        "input_tokens_details": {
            "cached_tokens": details_in.get("cached_tokens", 0),
            "cache_write_tokens": 0,
        },
        "output_tokens": total_out,
        "output_tokens_details": {"reasoning_tokens": details_out.get("reasoning_tokens", 0)},
        "total_tokens": usage.get("total_tokens", total_in + total_out),
    }


def comparable(response: dict[str, Any], script: Script) -> dict[str, Any]:
    """A real response, reduced to what `predicted` gives."""
    items = json.loads(json.dumps(response["output"]))
    unnamed = any(call.call_id is None for call in script.calls)
    for item in items:
        del item["id"]
        if "call_id" in item and unnamed:
            item["call_id"] = None
    keys = ("status", "incomplete_details", "error", "usage", "service_tier", "served_model")
    return {key: response[key] for key in keys if key in response} | {"output": items}
