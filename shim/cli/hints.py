"""What to paste into Codex and into an SDK, for an endpoint that runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shim.settings import Settings

PLACEHOLDER = "grid-shim"
"""What a client sends as its key when the endpoint holds the real one. Codex reads `model_catalog_url` only when
it has some token to send, so the hint always names one."""


@dataclass(frozen=True)
class Endpoint:
    """Where the endpoint answers and what a client shows it.

    Attributes:
        base_url: Such as `http://127.0.0.1:4000/v1`.
        model: The model to name.
        variable: The environment variable that holds the client's key; None where any key will do.
    """

    base_url: str
    model: str
    variable: str | None = None

    @classmethod
    def of(cls, settings: Settings, base_url: str, model: str | None = None) -> Endpoint:
        """The endpoint as these settings serve it."""
        variable = None
        if settings.client_tokens:
            variable = "GRID_SHIM_CLIENT_TOKEN"
        elif settings.upstream_key is None and settings.preset.needs_key:
            variable = settings.preset.key_variable
        return cls(base_url, model or settings.model or "MODEL", variable)

    @property
    def codex_toml(self) -> str:
        """Codex's smallest configuration that warns of nothing."""
        key = (
            f'env_key = "{self.variable}"'
            if self.variable
            else f'experimental_bearer_token = "{PLACEHOLDER}"  # the endpoint holds the real key'
        )
        return f"""model = "{self.model}"
model_provider = "grid"
web_search = "disabled"

[model_providers.grid]
name = "The Grid"
base_url = "{self.base_url}"
{key}
model_catalog_url = "{self.base_url}/models"
"""

    @property
    def sdk_environment(self) -> str:
        """The environment that OpenAI's SDKs read."""
        return f"OPENAI_BASE_URL={self.base_url} OPENAI_API_KEY={self._key_word}"

    @property
    def sdk_python(self) -> str:
        """One call with OpenAI's Python SDK."""
        key = f'os.environ["{self.variable}"]' if self.variable else f'"{PLACEHOLDER}"'
        return f"""client = OpenAI(base_url="{self.base_url}", api_key={key})
client.responses.create(model="{self.model}", input="Hello")
"""

    @property
    def _key_word(self) -> str:
        return f"${self.variable}" if self.variable else PLACEHOLDER

    def text(self) -> str:
        """All of it, to be read in a terminal."""
        return "\n".join(
            [
                "Codex, for this session:   grid-shim codex",
                "Codex, for good:           grid-shim setup codex, or in ~/.codex/config.toml:",
                "",
                _indented(self.codex_toml),
                "An SDK, by its environment:",
                "",
                _indented(self.sdk_environment),
                "",
                "or in code:",
                "",
                _indented(self.sdk_python),
            ]
        )


def _indented(text: str) -> str:
    return "".join(f"  {line}" if line.strip() else line for line in text.splitlines(keepends=True))
