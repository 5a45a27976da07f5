"""The instruments The Grid offers: limits, capabilities, and the models that stand behind them here.

The figures are those of The Grid's documentation; where it gives none, the catalogue entry leaves the key out.
Not a price list, and not the shim's own knowledge of instruments.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shim.simulator.config import JsonObject

CREATED = 1_767_225_600
ALWAYS_REASONING = ("low", "medium", "high")
SWITCHABLE_REASONING = ("none", "low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """A quality floor that a request names in place of a model.

    Attributes:
        id: The name that requests use.
        served_model: The model that answers here.
        context: Tokens of prompt and completion together.
        input_limit: Tokens of the prompt, or None where only the context limits it.
        output_limit: Highest `max_completion_tokens`.
        efforts: Values of `reasoning_effort`; reasoning can be turned off where `none` is among them.
        images: Whether images are taken; None where it is not documented (they are).
        temperature: Whether `temperature` may be given.
    """

    id: str
    served_model: str
    context: int = 128_000
    input_limit: int | None = 120_000
    output_limit: int = 131_072
    efforts: tuple[str, ...] = ALWAYS_REASONING
    images: bool | None = False
    temperature: bool = True

    @property
    def prompt_limit(self) -> int:
        """Tokens that a prompt may have."""
        return self.input_limit or self.context

    @property
    def reasoning_can_be_off(self) -> bool:
        """Whether `reasoning_effort: none` is known."""
        return "none" in self.efforts

    def entry(self) -> JsonObject:
        """The instrument's element of `GET /v1/models`."""
        limits = {"max_input_tokens": self.input_limit} if self.input_limit else {}
        images = {} if self.images is None else {"attachments": self.images}
        return {
            "id": self.id,
            "object": "model",
            "display_name": self.id.replace("-", " ").title(),
            "created": CREATED,
            "owned_by": "the-grid",
            "context_length": self.context,
            **limits,
            "max_completion_tokens": self.output_limit,
            **images,
            "reasoning": {"supported_efforts": list(self.efforts)},
        }


_STANDARD = Instrument(id="text-standard", served_model="openai/gpt-oss-120b", output_limit=65_536)
_PRIME = Instrument(id="text-prime", served_model="zai/glm-4.6")
_MAX = Instrument(
    id="text-max",
    served_model="deepseek/deepseek-v3.2",
    context=1_000_000,
    input_limit=None,
    output_limit=128_000,
    efforts=SWITCHABLE_REASONING,
    images=None,
)
_OPUS = replace(
    _MAX,
    id="claude-opus-latest",
    served_model="anthropic/claude-opus",
    input_limit=922_000,
    images=True,
    temperature=False,
)


def _lab(name: str, served_model: str) -> Instrument:
    return replace(_MAX, id=name, served_model=served_model, context=256_000, images=None)


CATALOGUE: dict[str, Instrument] = {
    instrument.id: instrument
    for instrument in (
        _STANDARD,
        replace(_STANDARD, id="code-standard"),
        replace(_STANDARD, id="agent-standard"),
        _PRIME,
        replace(_PRIME, id="code-prime", context=196_608),
        replace(_PRIME, id="agent-prime", context=196_608, input_limit=None),
        _MAX,
        replace(_MAX, id="code-max"),
        replace(_MAX, id="agent-max", context=512_000),
        _OPUS,
        _lab("gpt-sol-latest", "openai/gpt-sol"),
        _lab("gemini-pro-latest", "google/gemini-pro"),
        _lab("kimi-latest", "moonshotai/kimi"),
        _lab("deepseek-pro-latest", "deepseek/deepseek-pro"),
        _lab("glm-latest", "zai/glm"),
        _lab("minimax-latest", "minimax/minimax"),
        _lab("bytedance-pro-latest", "bytedance/seed-pro"),
    )
}


def listing() -> JsonObject:
    """The body of `GET /v1/models`."""
    return {"object": "list", "data": [instrument.entry() for instrument in CATALOGUE.values()]}
