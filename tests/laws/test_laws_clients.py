"""Law 4: the official SDK reads our streams as we meant them, and every event fits its class and our own schema."""

from typing import Annotated, get_args

import pytest
from hypothesis import example, given
from openai import omit
from openai._models import construct_type
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter
from script import Script, Telling, scripts, tellings
from stage import delta, final, play, tell
from wireforms import Form, forms

from shim.wire.events import Event
from shim.wire.response import Response

OURS = TypeAdapter(Event)
WHOLE = TypeAdapter(Response)


def _sdk_classes() -> dict[str, type[BaseModel]]:
    union = get_args(ResponseStreamEvent)[0]
    return {get_args(cls.model_fields["type"].annotation)[0]: cls for cls in get_args(union)}


SDK = _sdk_classes()

NEW_FOR_THE_SDK = {
    "response.shell_call_command.added",
    "response.shell_call_command.delta",
    "response.shell_call_command.done",
    "response.apply_patch_call_operation_diff.delta",
    "response.apply_patch_call_operation_diff.done",
} - set(SDK)
"""Events of the recorded wire that the installed SDK has no class for."""


def validate(event) -> None:
    """Check one event against the SDK's class for its type, and against our schema."""
    OURS.validate_python(event, strict=True)
    if event["type"] == "error":
        return  # the wire nests what the SDK's class has flat
    if event["type"] in NEW_FOR_THE_SDK:
        return
    SDK[event["type"]].model_validate(event)


def accumulated(events):
    """What the SDK's accumulator makes of a stream; it raises where a stream is wrong."""
    state = ResponseStreamState(input_tools=[], text_format=omit)
    for event in events:
        state.handle_event(construct_type(type_=Annotated[ResponseStreamEvent, None], value=event))
    return state


@given(script=scripts(), form=forms, telling=tellings)
def test_every_event_fits_its_sdk_class_and_our_schema(script, form, telling):
    events = play(script, form, telling)
    for event in events:
        validate(event)
    WHOLE.validate_python(final(events), strict=True)


@given(script=scripts(), form=forms, telling=tellings)
@example(Script(text="Hello", model="m"), Form(), Telling())
def test_the_sdk_accumulator_agrees_with_the_final_response(script, form, telling):
    events = play(script, form, telling)
    state = accumulated(events)
    response = final(events)
    if response["status"] != "completed":
        assert state._completed_response is None
        return
    completed = state._completed_response
    assert completed.output_text == "".join(
        part["text"]
        for item in response["output"]
        if item["type"] == "message"
        for part in item["content"]
        if part["type"] == "output_text"
    )
    assert [_wire(item) for item in completed.output] == response["output"]
    assert [_wire(state._completed_output[at]) for at in sorted(state._completed_output)] == response[
        "output"
    ]
    for index, item in state._output_items.items():
        _grown_alike(_wire(item), response["output"][index])


def _wire(item) -> dict:
    """An SDK object as JSON, without what its parser adds."""
    plain = item if isinstance(item, dict) else item.model_dump(mode="json", exclude_unset=True)
    plain.pop("parsed_arguments", None)
    for part in plain.get("content") or ():
        part.pop("parsed", None)
    return plain


def _grown_alike(grown, item) -> None:
    """What the SDK adds up from deltas is what stands in the final item."""
    assert grown["id"] == item["id"]
    if item["type"] == "function_call":
        assert grown["arguments"] == item["arguments"]
    if item["type"] == "message":
        assert [part.get("text") for part in grown["content"]] == [
            part.get("text") for part in item["content"]
        ]


@pytest.mark.parametrize("fault", ["rate_limit_exceeded", None])
def test_a_failed_stream_is_read_by_the_sdk_without_an_exception(fault):
    events = tell(delta(content="Hel"), {"error": {"message": "Too much.", "code": fault}})
    for event in events:
        validate(event)
    assert accumulated(events[:-2] + events[-1:])._completed_response is None
