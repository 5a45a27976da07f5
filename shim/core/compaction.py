"""Compaction: a conversation answered with one item that holds its summary.

Clients ask for it with a `compaction_trigger` as the last input item (Codex does, with a provider named OpenAI).
The model writes the summary; `encrypted_content` carries it, sealed, and the fold opens it again on replay.
"""

from __future__ import annotations

from collections.abc import Sequence

from shim.wire.items import CompactionTrigger, InputItem

COMPACTION_PROMPT = """\
The conversation up to here is about to be removed and replaced by what you write now. Write a hand-over for
yourself, so that the work can go on without the conversation. Include:
- what the user asked for, with every requirement, preference and limit that still holds, in the user's own words
  where the wording matters;
- what has been done and decided, and why; which files, commands, functions, names and values matter, spelled exactly;
- what was found out, errors and their causes included;
- what is under way now, and the next steps.
Leave out greetings and anything that no longer matters. Do not call tools. Answer with the hand-over alone."""


def wants_compaction(items: Sequence[InputItem]) -> bool:
    """Whether the last item asks for a compaction."""
    return bool(items) and isinstance(items[-1], CompactionTrigger)
