"""Settings in a Codex configuration that would get in the endpoint's way, each with the fix.

Measured with Codex 0.169. Pure: it looks at a parsed configuration and at names of variables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shim.cli.codex_config import PROFILE, PROFILE_FILE, PROVIDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

JsonObject = dict[str, Any]


def traps(
    config: JsonObject, base_url: str, token_variable: str | None, variables: Mapping[str, str]
) -> list[str]:
    """Warnings for the user, one sentence each.

    Args:
        config: The user's `config.toml` as it was.
        base_url: The endpoint's.
        token_variable: The variable that Codex will read the token from, if any.
        variables: The environment.
    """
    found = [*_profiles(config), *_replaced(config)]
    providers = config.get("model_providers")
    for name, table in (providers if isinstance(providers, dict) else {}).items():
        if isinstance(table, dict):
            found += _provider(name, table, base_url)
    if str(config.get("openai_base_url", "")).rstrip("/") == base_url:
        found.append(
            "openai_base_url points to this endpoint: Codex then speaks its own provider's wire; remove it."
        )
    if token_variable and not variables.get(token_variable):
        found.append(
            f"{token_variable} is not set here: Codex refuses to start a turn without it; export it."
        )
    return found


def _profiles(config: JsonObject) -> Iterator[str]:
    if "profile" in config:
        yield f'profile = "{config["profile"]}" in config.toml: newer Codex refuses it; remove the line and use --profile.'
    legacy = config.get("profiles")
    if isinstance(legacy, dict) and PROFILE in legacy:
        yield f"[profiles.{PROFILE}] in config.toml: Codex then refuses --profile {PROFILE}; remove it ({PROFILE_FILE} replaces it)."


def _replaced(config: JsonObject) -> Iterator[str]:
    providers = config.get("model_providers")
    if isinstance(providers, dict) and PROVIDER in providers:
        yield f"[model_providers.{PROVIDER}] was there already; it is replaced, and --undo brings it back."


def _provider(name: str, table: JsonObject, base_url: str) -> Iterator[str]:
    if table.get("wire_api") == "chat" and name != PROVIDER:
        yield f'[model_providers.{name}] has wire_api = "chat": Codex refuses the whole file; remove that line.'
    if str(table.get("base_url", "")).rstrip("/") != base_url or name == PROVIDER:
        return
    if table.get("requires_openai_auth"):
        yield f"[model_providers.{name}] sends your ChatGPT token to this endpoint; remove requires_openai_auth."
    if table.get("name") == "OpenAI":
        yield f'[model_providers.{name}] is named "OpenAI": Codex then treats it as its own; give it another name.'
