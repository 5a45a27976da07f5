"""A strict reader of event streams: it knows the order of the wire and nothing of the shim.

`check` walks over the events of one response and fails at the first that no recorded stream could have had there.
"""

from typing import Any

TERMINAL = {"response.completed", "response.incomplete", "response.failed"}

RESPONSE_KEYS = frozenset(
    [
        "background",
        "completed_at",
        "created_at",
        "error",
        "id",
        "incomplete_details",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "model",
        "object",
        "output",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "status",
        "store",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "usage",
        "user",
        "frequency_penalty",
        "presence_penalty",
    ]
)

RESPONSE_HEADERS = frozenset(
    [
        "cache-control",
        "connection",
        "content-length",
        "content-type",
        "date",
        "openai-processing-ms",
        "openai-version",
        "retry-after",
        "transfer-encoding",
        "x-accel-buffering",
        "x-content-type-options",
        "x-request-id",
        "x-shim-notes",
    ]
)
"""Headers that an answer may have: no other is ours."""

CALLS = {
    "function_call": ("response.function_call_arguments", "arguments"),
    "custom_tool_call": ("response.custom_tool_call_input", "input"),
    "apply_patch_call": ("response.apply_patch_call_operation_diff", "diff"),
}

PREFIXES = {
    "message": "msg_",
    "reasoning": "rs_",
    "function_call": "fc_",
    "custom_tool_call": "ctc_",
    "tool_search_call": "tsc_",
    "local_shell_call": "lsh_",
    "shell_call": "sh_",
    "apply_patch_call": "apc_",
    "compaction": "cmp_",
}


def check(events: list[dict[str, Any]], *, background: bool = False) -> None:
    """Fail unless the events are one whole, well-formed stream; in the background it is queued first."""
    Reader(background=background).read(events)


class Reader:
    """Reads one stream."""

    def __init__(self, *, background: bool = False) -> None:
        self.background = background
        self.done: list[dict[str, Any]] = []
        self.cut: set[int] = set()
        self.item: dict[str, Any] | None = None
        self.identities: set[str] = set()
        self.response_id = ""
        self.ended = False

    def read(self, events: list[dict[str, Any]]) -> None:
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        kinds = [event["type"] for event in events]
        second = "response.queued" if self.background else "response.in_progress"
        assert kinds[:2] == ["response.created", second]
        if self.background and kinds[2:] != ["error", "response.failed"]:  # it failed while it was queued
            assert kinds[2] == "response.in_progress"
        for place, event in enumerate(events):
            assert not self.ended, "an event after the terminal one"
            self.event(event, place, len(events) - place)
        assert self.ended, "no terminal event"

    def event(self, event: dict[str, Any], place: int, left: int) -> None:
        kind = event["type"]
        if kind == "error":
            assert set(event["error"]) == {"type", "code", "message", "param"}
            assert left == 2, "only response.failed follows an error"
        elif "response" in event:
            self.lifecycle(event, place)
        elif kind == "response.output_item.added":
            self.added(event)
        else:
            self.inside(event)

    # -- lifecycle --------------------------------------------------------------------------------------------

    def lifecycle(self, event: dict[str, Any], place: int) -> None:
        kind, response = event["type"], event["response"]
        assert set(response) - {"served_model"} == RESPONSE_KEYS
        assert (kind == "response.created") == (place == 0)
        self.response_id = self.response_id or response["id"]
        assert response["id"] == self.response_id
        if kind in TERMINAL:
            self.end(kind, response)
            return
        assert (kind == "response.queued") == (self.background and place == 1)
        assert response["status"] == ("queued" if self.background and place < 2 else "in_progress")
        self.check_told(response["output"])
        assert len(response["output"]) == len(self.done) + (self.item is not None)
        assert (response["usage"], response["error"], response["completed_at"]) == (None, None, None)

    def end(self, kind: str, response: dict[str, Any]) -> None:
        self.ended = True
        assert response["status"] == kind.removeprefix("response.")
        assert (response["completed_at"] is not None) == (kind == "response.completed")
        assert (response["incomplete_details"] is not None) == (kind == "response.incomplete")
        assert (response["error"] is not None) == (kind == "response.failed")
        if kind == "response.failed":
            assert response["usage"] is None
            assert response["error"]["code"]
            assert not self.cut
            assert len(response["output"]) == len(self.done) + (self.item is not None)
        else:
            if self.item is not None:
                self.abandon()
            assert len(response["output"]) == len(self.done)
            assert kind == "response.incomplete" or not self.cut, "an item is open at the end"
            assert set(response["usage"]) == {
                "input_tokens",
                "input_tokens_details",
                "output_tokens",
                "output_tokens_details",
                "total_tokens",
            }
            if response["incomplete_details"] == {"reason": "content_filter"}:
                calls = [item for at, item in enumerate(self.done) if at not in self.cut]
                assert not [item for item in calls if "call_id" in item], "a filtered answer released a call"
        self.check_told(response["output"])

    def check_told(self, output: list[dict[str, Any]]) -> None:
        """What was done stands in the output as it was told; what was cut stands there unfinished."""
        for at, item in enumerate(self.done):
            if at in self.cut:
                assert {key: output[at][key] for key in ("id", "type", "call_id")} == {
                    key: item[key] for key in ("id", "type", "call_id")
                }
                assert output[at]["status"] in ("incomplete", "in_progress")
            else:
                assert output[at] == item

    def abandon(self) -> None:
        """A call that was cut has no end."""
        assert self.item is not None
        assert "call_id" in self.item, "two items are open"
        assert self.told is None, "a call that was cut was told whole"
        self.cut.add(len(self.done))
        self.done.append(self.item)
        self.item = None

    # -- items ------------------------------------------------------------------------------------------------

    def added(self, event: dict[str, Any]) -> None:
        if self.item is not None:
            self.abandon()
        assert event["output_index"] == len(self.done), "an output_index was left out or used twice"
        item = event["item"]
        assert item["id"].startswith(PREFIXES[item["type"]])
        for identity in (item["id"], item.get("call_id")):
            assert identity not in self.identities or identity is None, "an id was used twice"
            assert identity != ""
            self.identities.add(identity)
        assert item.get("status", "in_progress") == "in_progress"
        assert {"message": item.get("content"), "reasoning": item.get("summary")}.get(item["type"], []) == []
        self.item = item
        self.parts: list[dict[str, Any]] = []
        self.part: dict[str, Any] | None = None
        self.text: list[str] = []
        self.logprobs: list[Any] = []
        self.annotations: list[Any] = []
        self.told: str | None = None
        self.text_done = False
        self.commands: list[str] = []
        self.command: list[str] | None = None

    def inside(self, event: dict[str, Any]) -> None:
        assert self.item is not None, f"{event['type']} outside an item"
        assert event["output_index"] == len(self.done)
        if "item_id" in event:
            assert event["item_id"] == self.item["id"], "an item's id changed"
        if "content_index" in event or "summary_index" in event:
            index = event.get("content_index", event.get("summary_index"))
            assert index == len(self.parts)
        kind = event["type"]
        if kind == "response.output_item.done":
            self.item_done(event["item"])
        elif kind.startswith(("response.content_part.", "response.reasoning_summary_part.")):
            self.part_event(kind, event["part"])
        elif kind.startswith("response.shell_call_command."):
            self.shell(kind, event)
        elif self.item["type"] in CALLS:
            self.call(kind, event)
        else:
            self.content(kind, event)

    def part_event(self, kind: str, part: dict[str, Any]) -> None:
        if kind.endswith(".added"):
            assert self.part is None, "two parts are open"
            assert part.get("text", part.get("refusal")) == ""
            if part["type"] == "output_text":
                assert (part["annotations"], part["logprobs"]) == ([], [])
            self.part, self.text, self.logprobs, self.annotations = part, [], [], []
            self.text_done = False
            return
        assert self.part is not None
        assert self.text_done, "a part ended before its text"
        assert part == self.whole_part()
        self.parts.append(part)
        self.part = None

    def whole_part(self) -> dict[str, Any]:
        assert self.part is not None
        text = "".join(self.text)
        whole = {"type": self.part["type"], "refusal" if self.part["type"] == "refusal" else "text": text}
        if self.part["type"] == "output_text":
            whole |= {"logprobs": self.logprobs, "annotations": self.annotations}
        return whole

    def content(self, kind: str, event: dict[str, Any]) -> None:
        assert self.part is not None, f"{kind} outside a part"
        assert not self.text_done
        stem = {
            "output_text": "response.output_text",
            "refusal": "response.refusal",
            "reasoning_text": "response.reasoning_text",
            "summary_text": "response.reasoning_summary_text",
        }[self.part["type"]]
        if kind == f"{stem}.delta":
            assert event["delta"] != ""
            self.text.append(event["delta"])
            if self.part["type"] == "output_text":
                self.logprobs.extend(event["logprobs"])
        elif kind == f"{stem}.annotation.added":
            assert event["annotation_index"] == len(self.annotations)
            self.annotations.append(event["annotation"])
        else:
            assert kind == f"{stem}.done", f"{kind} in a part of type {self.part['type']}"
            assert event.get("text", event.get("refusal")) == "".join(self.text)
            assert event.get("logprobs", self.logprobs) == self.logprobs
            assert ("logprobs" in event) == (self.part["type"] == "output_text")
            self.text_done = True

    def call(self, kind: str, event: dict[str, Any]) -> None:
        assert self.item is not None
        stem, name = CALLS[self.item["type"]]
        assert self.told is None, "more after the whole was told"
        if kind == f"{stem}.delta":
            assert event["delta"] != ""
            self.text.append(event["delta"])
        else:
            assert kind == f"{stem}.done"
            self.told = event[name]
            assert self.told == "".join(self.text)

    def shell(self, kind: str, event: dict[str, Any]) -> None:
        assert self.item is not None
        assert self.item["type"] == "shell_call"
        assert "item_id" not in event
        assert event["command_index"] == len(self.commands)
        if kind.endswith(".added"):
            assert self.command is None
            assert event["command"] == ""
            self.command = []
            return
        assert self.command is not None
        if kind.endswith(".delta"):
            assert event["delta"] != ""
            self.command.append(event["delta"])
            return
        assert event["command"] == "".join(self.command)
        self.commands.append(event["command"])
        self.command = None

    def item_done(self, item: dict[str, Any]) -> None:
        begun = self.item
        assert begun is not None
        assert self.part is None, "a part is open at the end of its item"
        for key in ("id", "type", "call_id", "name", "namespace", "role", "execution"):
            assert item.get(key) == begun.get(key), f"{key} changed"
        assert "call_id" not in item or item["status"] == "completed", "a call that was cut is done"
        self.check_whole(item)
        self.done.append(item)
        self.item = None

    def check_whole(self, item: dict[str, Any]) -> None:
        """What was told piece by piece is what stands in the item."""
        kind = item["type"]
        if kind == "message":
            assert item["content"] == self.parts
            assert self.parts, "an empty message"
        elif kind == "reasoning":
            assert (item.get("content") or item["summary"]) == self.parts
            assert isinstance(item["summary"], list)
            assert "status" not in item
        elif kind in ("function_call", "custom_tool_call"):
            assert item[CALLS[kind][1]] == self.told, "the call was not told whole"
        elif kind == "apply_patch_call":
            assert self.item is not None
            begun, whole = self.item["operation"], item["operation"]
            assert (begun["type"], begun["path"]) == (whole["type"], whole["path"]), (
                "the file or the change changed"
            )
            assert begun.get("diff", "") == ""
            assert item["operation"].get("diff") == self.told
            assert (self.told is None) == (item["operation"]["type"] == "delete_file")
            assert not (self.text and self.told is None), "a diff that was never finished"
        elif kind == "shell_call":
            assert self.command is None
            assert item["action"]["commands"] == self.commands
