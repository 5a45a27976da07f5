import pytest

from shim.core.overflow import is_overflow

OVERFLOWS = [
    "This model's maximum context length is 128000 tokens. However, your messages resulted in 130001 tokens.",
    "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens (8000 in the messages, 1000 in the completion). Please reduce the length of the messages or completion.",
    "Your input exceeds the context window of this model. Please adjust your input and try again.",
    "'max_tokens' or 'max_completion_tokens' is too large: 2000. This model's maximum context length is 4096 tokens and your request has 3000 input tokens (2000 > 4096 - 3000).",
    "The decoder prompt (length 9000) is longer than the maximum model length of 8192.",
    "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
    "Requested token count exceeds the model's maximum context length of 131072 tokens.",
    "request (9000 tokens) exceeds the available context size (8192 tokens), try increasing it",
    "the request exceeds the available context size. try increasing the context size or enable context shift",
    "Context size has been exceeded.",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or `max_tokens` and try again",
    "Input is too long for requested model.",
    "The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).",
    "The input token count exceeds the maximum number of tokens allowed 1048576.",
    "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
    "the input length exceeds the context length",
    "input length exceeds maximum context length",
    "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens and 20 `max_new_tokens`",
    "Input validation error: `inputs` must have less than 4095 tokens. Given: 5000",
    "Invalid request: Your request exceeded model token limit: 131072 (requested: 140000)",
    "Range of input length should be [1, 129024]",
    "invalid params, context window exceeds limit",
    "Prompt exceeds max length",
    "This model's maximum prompt length is 131072 but the request contains 140000 tokens.",
    "This endpoint's maximum context length is 40960 tokens. However, you requested about 50000 tokens",
    "prompt token count of 70000 exceeds the limit of 64000",
    "Please reduce the length of the messages or completion.",
    "too many tokens: total number of tokens in the prompt cannot exceed 4081",
    "Trying to keep the first 9000 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens",
    "The prompt does not fit into the model's context.",
]

OTHERS = [
    "",
    "max_tokens is too large: 100000. This model supports at most 16384 completion tokens, whereas you provided 100000.",
    "Invalid value: 'max_completion_tokens' must be at most 65536.",
    "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29000, Requested 5000.",
    "Request too large for model on tokens per minute (TPM): Limit 6000, Requested 9000, please reduce the length of your message.",
    "Too many tokens per day, please wait before trying again.",
    "This request would exceed your organization's rate limit of 30,000 input tokens per minute.",
    "You exceeded your current quota, please check your plan.",
    "This request requires more credits, or fewer max_tokens. You requested up to 65536 tokens, but can only afford 100: your prompt is too long",
    "Invalid schema for function 'context': context length is required",
    "tool_choice is invalid in this context",
    "The stop sequence is too long.",
    "Image exceeds 5 MB maximum",
    "The string is longer than 64 characters: 'metadata.key'",
    "Unknown parameter: 'context_length'.",
]


@pytest.mark.parametrize("message", OVERFLOWS)
def test_suppliers_sentences_about_a_full_context_are_known(message):
    assert is_overflow(message)
    assert is_overflow(message.upper())


@pytest.mark.parametrize("message", OTHERS)
def test_other_sentences_about_tokens_and_lengths_are_something_else(message):
    assert not is_overflow(message)


@pytest.mark.parametrize(
    "code",
    [
        "context_length_exceeded",
        "exceed_context_size_error",
        "ContextWindowExceededError",
        "request_too_large",
    ],
)
def test_a_code_says_it_without_words(code):
    assert is_overflow("", None, code)


def test_a_code_does_not_outweigh_a_rate_limit():
    assert not is_overflow("Limit 6000 tokens per minute", "context_length_exceeded")
