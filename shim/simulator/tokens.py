"""A tokenizer nobody would sell: words with their trailing space, and four characters to a prompt token.

Good enough for limits, usage and log probabilities that a test can predict; it knows nothing of real
vocabularies.
"""

from __future__ import annotations

import hashlib
import json
import re
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shim.simulator.config import JsonObject

CHARACTERS_PER_TOKEN = 4
ARGUMENT_PIECE = 6
_DATA_URL = re.compile(r'"data:[^"]*"')
_TOKEN = re.compile(r"\s*\S+\s*|\s+")


def split_text(text: str) -> list[str]:
    """Words with the white space around them; joined they are the text again."""
    return _TOKEN.findall(text)


def split_arguments(arguments: str) -> list[str]:
    """Pieces of a call's arguments, cut wherever the count falls; at least one, though it be empty."""
    starts = range(0, len(arguments), ARGUMENT_PIECE)
    return [arguments[start : start + ARGUMENT_PIECE] for start in starts] or [""]


def grouped(units: Sequence[str], size: int) -> list[str]:
    """The units joined in groups of `size`."""
    return ["".join(units[start : start + size]) for start in range(0, len(units), size)]


def logprob(token: str, top: int) -> JsonObject:
    """One element of `logprobs.content`, the same for the same token every time."""
    own = _candidate(token, -0.01 * len(token))
    others = [_candidate(f"other{rank}", -1.0 - rank) for rank in range(1, top)]
    return {**own, "top_logprobs": [own, *others][:top]}


def _candidate(token: str, value: float) -> JsonObject:
    return {"token": token, "logprob": round(value, 4), "bytes": list(token.encode("utf-8", "surrogatepass"))}


def estimate(value: Any) -> int:
    """Tokens of a JSON value as a prompt, at least one; images and files in data URLs count for nothing."""
    return max(1, len(_DATA_URL.sub('"', _serialised(value))) // CHARACTERS_PER_TOKEN)


def _serialised(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class PrefixCache:
    """Remembers the beginnings of prompts, as suppliers do, so that a moved word shows up in the usage."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def count(self, key: str, request: JsonObject) -> tuple[int, int]:
        """Tokens of the request's prompt, and how many of them an earlier request of the same key began with."""
        prefixes = list(_prefixes(key, request))
        cached = max((tokens for digest, tokens in prefixes if digest in self._seen), default=0)
        self._seen.update(digest for digest, _ in prefixes)
        return prefixes[-1][1], cached


def _prefixes(key: str, request: JsonObject) -> Iterable[tuple[str, int]]:
    """A digest and a token count for each beginning of the prompt that ends with a message."""
    digest = hashlib.sha256(f"{key}\n{request['model']}\n{_serialised(request.get('tools'))}".encode())
    head = estimate(request["tools"]) if request.get("tools") else 0
    for message, total in zip(request["messages"], _totals(request["messages"], head), strict=True):
        digest.update(_serialised(message).encode("utf-8", "surrogatepass"))
        yield digest.hexdigest(), total


def _totals(messages: Sequence[JsonObject], head: int) -> Iterable[int]:
    totals = accumulate((estimate(message) for message in messages), initial=head)
    return (after for _, after in pairwise(totals))


def grouped_bytes(frames: list[bytes], size: int) -> list[bytes]:
    """The frames cut anew into writes of `size` bytes; 0 leaves them as they are."""
    if size == 0:
        return frames
    body = b"".join(frames)
    return [body[start : start + size] for start in range(0, len(body), size)]
