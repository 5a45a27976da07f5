"""How many tokens a chat completion request is, roughly.

An estimate, and said to be one: the tokenizer behind an instrument is not known, and changes. Text counts four bytes
of JSON a token, which is near for English and code and high for most other scripts; media count a flat number each.
`ratio` corrects it by what the upstream reported for the same instrument.
"""

from __future__ import annotations

from pydantic_core import to_json

from shim.wire.chat import ChatMessage, ChatRequest

BYTES_PER_TOKEN = 4
MEDIA_TOKENS = 800
"""Tokens for an image, a file or audio: their bytes say nothing about it."""


def estimate_tokens(chat: ChatRequest, ratio: float = 1.0) -> int:
    """Estimated input tokens of a request, at least 1."""
    tools = len(to_json(chat["tools"])) if "tools" in chat else 0
    text, media = tools, 0
    for message in chat["messages"]:
        message_text, message_media = _sizes(message)
        text += message_text
        media += message_media
    return max(1, round((text / BYTES_PER_TOKEN + media * MEDIA_TOKENS) * ratio))


def _sizes(message: ChatMessage) -> tuple[int, int]:
    """Bytes of text, and the number of media."""
    content = message["content"]
    if not isinstance(content, list):
        return len(to_json(message)), 0
    texts = [part["text"] for part in content if part["type"] == "text"]
    return sum(len(text.encode()) for text in texts), len(content) - len(texts)
