"""The shapes on both wires, types only: the Responses API outward, Chat Completions upstream."""
