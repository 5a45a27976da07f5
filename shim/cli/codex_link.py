"""What ties Codex to the endpoint: its binary, its catalogue file and its provider, for one session or for good.

Codex's own rules that matter here, all measured: a catalogue file (`model_catalog_json`) loads on every version
and needs no key, while `model_catalog_url` is fetched only if the provider has a token to send; a profile is a
file of its own, `<name>.config.toml`; versions before 0.142 know no effort `max`.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shim.cli.problem import Problem
from shim.core.codex import model_entry, models_body
from shim.core.profile import Instrument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shim.settings import Settings

JsonObject = dict[str, Any]
Version = tuple[int, ...]

PROVIDER_NAME = "The Grid"
"""Never "OpenAI": Codex treats a provider of that name as its own, with another wire."""

NEWER_EFFORTS_SINCE: Version = (0, 142, 0)
PROFILE_FILES_SINCE: Version = (0, 142, 0)
"""Both measured between 0.120 and 0.142; the later one is on the safe side."""

NO_DAEMON_SINCE: Version = (0, 160, 0)

OLD_EFFORTS = frozenset({"none", "minimal", "low", "medium", "high", "xhigh"})


def find_codex() -> str:
    """The path of the user's Codex.

    Raises:
        Problem: It is not installed.
    """
    found = shutil.which("codex")
    if found is None:
        raise Problem("Codex is not installed (no codex on the PATH).", "npm install -g @openai/codex")
    return found


def codex_version(binary: str | None) -> Version | None:
    """The version of a Codex binary, or None if it cannot be had."""
    if binary is None:
        return None
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=20, check=False)  # noqa: S603 -- the user's Codex
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", said.stdout)
    return tuple(map(int, found.groups())) if found else None


def choose_model(settings: Settings, instruments: Sequence[Instrument], wanted: str | None) -> str:
    """The model Codex starts with: the one wanted, else the default, else the upstream's first.

    Raises:
        Problem: There is none to choose from.
    """
    model = wanted or settings.model or next((one.id for one in instruments), None)
    if model is None:
        raise Problem(f"{settings.base_url} lists no models.", "name one with --model.")
    return model


def catalogue(
    instruments: Sequence[Instrument], model: str, default: str | None, version: Version | None = None
) -> JsonObject:
    """The catalogue file for Codex; `model` is in it even if it is an alias, so that Codex knows its limits.

    Args:
        instruments: What the upstream serves.
        model: What Codex will ask for.
        default: What an alias stands for.
        version: Codex's version, if known; old ones refuse a catalogue with an effort they do not know.
    """
    entries = models_body(instruments)["models"]
    if all(entry["slug"] != model for entry in entries):
        stands_for = next((one for one in instruments if one.id in {model, default}), Instrument(model))
        entries.append(model_entry(replace(stands_for, id=model, display_name=model), len(entries) + 1))
    if version is not None and version < NEWER_EFFORTS_SINCE:
        entries = [_with_old_efforts(entry) for entry in entries]
    return {"models": entries}


def _with_old_efforts(entry: JsonObject) -> JsonObject:
    levels = [level for level in entry["supported_reasoning_levels"] if level["effort"] in OLD_EFFORTS]
    return entry | {"supported_reasoning_levels": levels}


def provider(base_url: str, token_variable: str | None, placeholder: str) -> JsonObject:
    """Codex's provider table.

    Args:
        base_url: The endpoint's.
        token_variable: Environment variable with the client's token, where one is wanted.
        placeholder: Sent in its place where the endpoint asks for none.
    """
    token = {"env_key": token_variable} if token_variable else {"experimental_bearer_token": placeholder}
    return {"name": PROVIDER_NAME, "base_url": base_url, "wire_api": "responses", **token}


def embedded_mode(version: Version | None, arguments: Sequence[str]) -> list[str]:
    """The option without which newer Codex warns that overrides keep it from using its background server."""
    wanted = version is not None and version >= NO_DAEMON_SINCE and "--no-daemon" not in arguments
    return ["--no-daemon"] if wanted else []


def overrides(values: JsonObject) -> list[str]:
    """`-c key=value` arguments; JSON strings are TOML strings, nested tables become inline tables."""
    return [part for key, value in values.items() for part in ("-c", f"{key}={inline(value)}")]


def inline(value: Any) -> str:
    """A value as inline TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {inline(item)}" for key, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)
