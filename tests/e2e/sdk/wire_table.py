"""What every event, item, part and response must hold: taken from recorded streams of the real API.

Each entry names the keys that were in every recording; after `|` stand those that were in some. `type` is always
there, `sequence_number` in every event. What the SDK's classes demand is checked apart from this, by `strictly`.
"""

from __future__ import annotations

from functools import cache
from typing import get_args

from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

LIFECYCLE = "response"
PLACE = "item_id output_index"

EVENTS = {
    "error": "error",
    "response.apply_patch_call_operation_diff.delta": f"{PLACE} delta | obfuscation",
    "response.apply_patch_call_operation_diff.done": f"{PLACE} diff",
    "response.completed": LIFECYCLE,
    "response.content_part.added": f"{PLACE} content_index part",
    "response.content_part.done": f"{PLACE} content_index part",
    "response.created": LIFECYCLE,
    "response.custom_tool_call_input.delta": f"{PLACE} delta | obfuscation",
    "response.custom_tool_call_input.done": f"{PLACE} input",
    "response.failed": LIFECYCLE,
    "response.function_call_arguments.delta": f"{PLACE} delta | obfuscation",
    "response.function_call_arguments.done": f"{PLACE} arguments",
    "response.in_progress": LIFECYCLE,
    "response.incomplete": LIFECYCLE,
    "response.output_item.added": "item output_index",
    "response.output_item.done": "item output_index",
    "response.output_text.delta": f"{PLACE} content_index delta logprobs | obfuscation",
    "response.output_text.done": f"{PLACE} content_index logprobs text",
    "response.reasoning_summary_part.added": f"{PLACE} part summary_index",
    "response.reasoning_summary_part.done": f"{PLACE} part summary_index",
    "response.reasoning_summary_text.delta": f"{PLACE} delta summary_index | obfuscation",
    "response.reasoning_summary_text.done": f"{PLACE} summary_index text",
    "response.reasoning_text.delta": f"{PLACE} content_index delta | obfuscation",
    "response.reasoning_text.done": f"{PLACE} content_index text",
    "response.refusal.delta": f"{PLACE} content_index delta | obfuscation",
    "response.refusal.done": f"{PLACE} content_index refusal",
    "response.shell_call_command.added": "command command_index output_index",
    "response.shell_call_command.delta": "command_index delta output_index | obfuscation",
    "response.shell_call_command.done": "command command_index output_index",
}

WITHOUT_CLASS = {
    "error",  # the real API nests what the SDK's class expects flat
    "response.apply_patch_call_operation_diff.delta",  # recorded, but unknown to the SDK
    "response.apply_patch_call_operation_diff.done",
}

ITEMS = {
    "apply_patch_call": "call_id id operation status",
    "compaction": "encrypted_content id",
    "custom_tool_call": "call_id id input name status | namespace",
    "function_call": "arguments call_id id name status | namespace",
    "local_shell_call": "action call_id id status",
    "message": "content id role status | phase",
    "reasoning": "id summary | content encrypted_content",
    "shell_call": "action call_id id status | environment",
    "tool_search_call": "arguments call_id execution id status",
}

PARTS = {
    "output_text": "annotations logprobs text",
    "reasoning_text": "text",
    "refusal": "refusal",
    "summary_text": "text",
}

RESPONSE = (
    "background completed_at created_at error frequency_penalty id incomplete_details instructions max_output_tokens "
    "max_tool_calls metadata model object output parallel_tool_calls presence_penalty previous_response_id "
    "prompt_cache_key prompt_cache_retention reasoning safety_identifier service_tier status store temperature text "
    "tool_choice tools top_logprobs top_p truncation usage user | served_model"
)
"""`served_model` is the shim's own: the model behind the instrument."""

USAGE = "input_tokens input_tokens_details output_tokens output_tokens_details total_tokens"
ERROR = "code message"


def check_keys(value, keys, what):
    """Complain about keys that are missing and keys that nobody has recorded."""
    needed, _, possible = keys.partition("|")
    given = set(value)
    assert not set(needed.split()) - given, f"{what} lacks keys: {value}"
    assert not given - set(needed.split()) - set(possible.split()) - {"type"}, (
        f"{what} has other keys: {value}"
    )


def check_item(item):
    check_keys(item, ITEMS[item["type"]], item["type"])
    for part in (*item.get("content", ()), *item.get("summary", ())):
        check_keys(part, PARTS[part["type"]], part["type"])


def check_response(response):
    """Keys of a response and of everything in it, and what its status says of the others."""
    check_keys(response, RESPONSE, "the response")
    check_keys(response["reasoning"], "effort summary", "reasoning")
    check_keys(response["text"], "format verbosity", "text")
    for item in response["output"]:
        check_item(item)
    status = response["status"]
    assert (response["completed_at"] is not None) == (status == "completed")
    assert (response["incomplete_details"] is not None) == (status == "incomplete")
    assert (response["error"] is not None) == (status == "failed")
    if response["error"]:
        check_keys(response["error"], ERROR, "the error")
    assert (response["usage"] is not None) == (status in ("completed", "incomplete"))
    if response["usage"]:
        check_keys(response["usage"], USAGE, "usage")
    assert (response["service_tier"] == "auto") <= (status in ("in_progress", "failed"))
    strictly(Response, response)


def check_event(event):
    kind = event["type"]
    check_keys(event, f"sequence_number {EVENTS[kind]}", kind)
    if "response" in event:
        check_response(event["response"])
    if "item" in event:
        check_item(event["item"])
    if "part" in event:
        check_keys(event["part"], PARTS[event["part"]["type"]], event["part"]["type"])
    if kind == "error":
        check_keys(event["error"], "code message param type", "the error")
    if kind not in WITHOUT_CLASS:
        strictly(event_classes()[kind], event)


def strictly(kind, value):
    """The value as an instance of one of the SDK's own classes, with no conversions."""
    return adapter(kind).validate_python(value, strict=True)


@cache
def adapter(kind):
    return TypeAdapter(kind)


@cache
def event_classes():
    """The SDK's class for each event type."""
    union, *_ = get_args(ResponseStreamEvent)
    return {get_args(each.model_fields["type"].annotation)[0]: each for each in get_args(union)}
