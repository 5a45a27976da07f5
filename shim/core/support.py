"""What becomes of every request field, item and tool: one table, shown in the README and checked by tests.

`mapped`: said upstream in chat's words. `emulated`: done by the shim with what chat has. `echoed`: shown in the
response, not sent. `ignored`: accepted and noted. `rejected`: answered with a clear 400.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Fate = Literal["mapped", "emulated", "echoed", "ignored", "rejected"]


@dataclass(frozen=True, slots=True)
class Support:
    """What becomes of one thing, and how or why."""

    fate: Fate
    how: str


FIELDS: dict[str, Support] = {
    "model": Support("mapped", "aliases first, then as it is; the response echoes what was asked for"),
    "input": Support(
        "mapped",
        "`messages`, see the items; if it ends with the assistant's words, a user message `Continue.` follows, "
        "since many suppliers refuse such a conversation",
    ),
    "instructions": Support("mapped", "the one leading system message"),
    "stream": Support("emulated", "upstream always streams; the answer is collected if not asked for"),
    "stream_options": Support("emulated", "`include_obfuscation`"),
    "tools": Support("mapped", "see the tools"),
    "tool_choice": Support("mapped", "`tool_choice`; `allowed_tools` filters `tools`"),
    "parallel_tool_calls": Support("mapped", "as it is, where there are tools"),
    "max_tool_calls": Support("echoed", "counts hosted tools only, and there are none"),
    "max_output_tokens": Support("mapped", "`max_completion_tokens`, at most the instrument's own limit"),
    "temperature": Support("mapped", "as it is, unless the instrument takes none"),
    "top_p": Support("mapped", "as it is, unless the instrument takes none"),
    "top_logprobs": Support("mapped", "with `logprobs: true`"),
    "text": Support("mapped", "`format` as `response_format`, `verbosity`"),
    "reasoning": Support(
        "mapped", "`effort` fitted to the instrument; `summary` decides where reasoning appears"
    ),
    "include": Support("emulated", "`reasoning.encrypted_content`, `message.output_text.logprobs`"),
    "metadata": Support("echoed", "sent as well where the upstream takes it"),
    "store": Support(
        "emulated",
        "`false` leaves nothing behind; where the setting `store` is `off`, the answer says `false`",
    ),
    "background": Support("emulated", "runs in the shim, on any replica; needs the store"),
    "previous_response_id": Support("emulated", "the stored items of every earlier turn come first"),
    "conversation": Support(
        "emulated", "its items come first, the turn's are appended; one turn at a time, else 409"
    ),
    "prompt": Support(
        "emulated",
        "a template stored by `grid-shim prompts`, variables filled in; the request's own fields win",
    ),
    "truncation": Support(
        "emulated",
        "`auto`: while upstream says that it is too long, the older half goes, calls with their outputs",
    ),
    "service_tier": Support("mapped", "as it is"),
    "prompt_cache_key": Support("mapped", "as it is"),
    "prompt_cache_retention": Support("mapped", "as it is"),
    "safety_identifier": Support("mapped", "as it is"),
    "user": Support("mapped", "as it is"),
    "client_metadata": Support("ignored", "Codex's own bookkeeping"),
    "context_management": Support(
        "emulated",
        "`compaction`: above the threshold (estimated) the conversation is summarised before the answer",
    ),
}

ITEMS: dict[str, Support] = {
    "message": Support("mapped", "leading system and developer messages become one system message"),
    "function_call": Support("mapped", "`tool_calls` of one assistant message a turn"),
    "function_call_output": Support("mapped", "tool messages; images follow in a user message"),
    "custom_tool_call": Support("emulated", "a call of the function that stands for the tool"),
    "custom_tool_call_output": Support("emulated", "as a function's"),
    "reasoning": Support(
        "mapped", "`reasoning_content` of its turn, by default within the current tool loop"
    ),
    "local_shell_call": Support("emulated", "a call of the function that stands for the tool"),
    "local_shell_call_output": Support("emulated", "as a function's"),
    "shell_call": Support("emulated", "a call of the function that stands for the tool"),
    "shell_call_output": Support("emulated", "as a function's"),
    "apply_patch_call": Support("emulated", "a call of the function that stands for the tool"),
    "apply_patch_call_output": Support("emulated", "as a function's"),
    "tool_search_call": Support("emulated", "a call of the function that stands for the search"),
    "tool_search_output": Support("emulated", "the found tools join the declared ones"),
    "additional_tools": Support("emulated", "join the declared tools"),
    "agent_message": Support("mapped", "a user message"),
    "compaction": Support("emulated", "ours is opened and sent as a user message; others cannot be read"),
    "compaction_trigger": Support("emulated", "the model summarises; answered with one compaction item"),
    "item_reference": Support("emulated", "replaced by the stored item; 404 if there is none"),
    "any other item": Support(
        "mapped", "hosted results, MCP items, unknown types: tagged JSON in a user message"
    ),
}

PARTS: dict[str, Support] = {
    "input_text": Support("mapped", "text"),
    "output_text": Support("mapped", "text"),
    "refusal": Support("mapped", "text"),
    "input_image": Support(
        "mapped", "`image_url`; 400 if the instrument takes no images; a `file_id` is rejected"
    ),
    "input_file": Support("mapped", "text files as text, PDF as `file`; URLs and ids are rejected"),
    "input_audio": Support("mapped", "`input_audio`"),
    "encrypted_content": Support("mapped", "plain text between Codex's agents"),
    "any other part": Support("ignored", "left out with a note"),
}

TOOLS: dict[str, Support] = {
    "function": Support("mapped", "parameters made acceptable to strict suppliers"),
    "custom": Support("emulated", "a function with one string; its grammar stands in the description"),
    "namespace": Support("emulated", "flattened, and restored in the answer"),
    "tool_search": Support("emulated", "a function, for `execution: client`"),
    "local_shell": Support("emulated", "a function; answered as `local_shell_call`"),
    "shell": Support("emulated", "a function; answered as `shell_call`"),
    "apply_patch": Support("emulated", "a function; answered as `apply_patch_call`"),
    "any hosted tool": Support("ignored", "left out with a note; 400 if `tool_choice` forces it"),
}

PASSED_OVER: dict[str, str] = {
    "max_tool_calls": "counts hosted tools only, and there are none",
}
"""Fields whose loss is noted when a request sets them."""
