"""Whether an upstream's error says that the input does not fit the model's context.

Suppliers agree on nothing here: the wordings below were collected from their servers, documentation and issue
trackers, and `tests/upstream/test_overflow.py` holds the sentences. Clients compact their history when they are
told so, and do it in vain when told wrongly: what looks like a rate limit or a wrong parameter is none.

Pure. Not the place where the fault is made (`shim.core.faults`).
"""

from __future__ import annotations

import re

OVERFLOW_CODES = frozenset(
    {
        "context_length_exceeded",  # OpenAI, Groq, Together
        "context_window_exceeded",
        "context_window_exceeded_error",
        "contextwindowexceedederror",  # LiteLLM
        "exceed_context_size_error",  # llama.cpp
        "model_context_window_exceeded",  # Anthropic, Z.ai
        "model_max_prompt_tokens_exceeded",
        "request_too_large",  # Anthropic's 413
    }
)
"""Values of `code` or `type` that mean it by themselves, in lower case."""

RATE_WORDS = re.compile(
    r"tokens?[ -]per[ -](min|hour|day|sec)|\b[TR]P[MD]\b|rate[ _-]?limit|quota|requests per|credit|billing",
    re.IGNORECASE,
)
"""Words of a limit over time: their sentences speak of too many tokens as well."""

_PHRASES = (
    # OpenAI, vLLM, SGLang, DeepSeek, Groq, xAI and others
    r"maximum (context|model|prompt) length",
    r"reduce the length of (the|your) (messages|prompt|input)",
    r"longer than the model'?s context length",
    r"decoder prompt .* is longer than",
    # LM Studio, Ollama, OpenRouter, Vertex, Bedrock
    r"(exceed\w*|overflow\w*|(great|long|larg)er than) ([\w']+ ){0,4}context (length|window|size|limit)",
    r"context (length|window|size|limit) ([\w']+ ){0,3}(exceed|overflow|is only|full)",
    r"context (length|window) of (only )?\d[\d,]* tokens",
    r"(doesn'?t|does not|cannot|can'?t) fit ([\w']+ ){0,3}context",
    r"(too (large|long|big)) for ([\w']+ ){0,3}context",
    # Anthropic
    r"(prompt|input|request|conversation|message) is too long",
    r"exceed context limit",
    # Gemini
    r"input token count .*exceeds",
    r"exceeds? the maximum number of (input )?tokens",
    r"exceeds? the maximum allowed (input )?(length|tokens)",
    # Mistral
    r"prompt contains \d+ tokens .*too large for model",
    r"too large for model with \d+ maximum context",
    # Hugging Face TGI
    r"`?inputs`? tokens \+ `?max_new_tokens`? must be",
    r"`?inputs`? must have less than \d+ tokens",
    # Moonshot, MiniMax, Qwen, Z.ai, Cohere, Copilot
    r"exceeded model token limit",
    r"range of input length should be",
    r"prompt exceeds (the )?(length limit|max length)",
    r"prompt token count of \d+ exceeds",
    r"too many (input )?tokens(?! (requested|per))",
    r"input tokens? exceeds?",
)
OVERFLOW_WORDS = re.compile("|".join(_PHRASES), re.IGNORECASE | re.DOTALL)
"""Sentences that mean it."""


def is_overflow(message: str, *codes: str | None) -> bool:
    """Whether the input was too long for the model.

    Args:
        message: What the upstream said.
        codes: Its error's `code` and `type`.
    """
    if RATE_WORDS.search(message):
        return False
    return any(code.lower() in OVERFLOW_CODES for code in codes if code) or bool(
        OVERFLOW_WORDS.search(message)
    )
