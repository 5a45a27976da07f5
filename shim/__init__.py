"""A local Responses API in front of any Chat Completions upstream."""

__version__ = "0.1.0"
