"""The documents' tables, made from the code. `python tests/docs/tables.py` writes them; a test compares."""

from __future__ import annotations

from pathlib import Path

from dependencies import dependencies_table
from pydantic import SecretStr

from shim.core.profile import PRESETS
from shim.core.support import FIELDS, ITEMS, PARTS, TOOLS, Support
from shim.limits import Limits
from shim.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]


def support_table() -> str:
    """What becomes of every field, item, part and tool."""
    groups = {"Request field": FIELDS, "Input item": ITEMS, "Content part": PARTS, "Tool": TOOLS}
    return "\n\n".join(_support_group(title, rows) for title, rows in groups.items())


def _support_group(title: str, rows: dict[str, Support]) -> str:
    lines = [f"| {title} | | How, or why |", "|---|---|---|"]
    for name, support in rows.items():
        shown = name if name.startswith("any ") else f"`{name}`"
        lines.append(f"| {shown} | {support.fate} | {support.how} |")
    return "\n".join(lines)


def settings_table() -> str:
    """Every setting, its variable, default and meaning."""
    lines = ["| Setting | Variable | Default | Meaning |", "|---|---|---|---|"]
    for name in Settings.names():
        field = Settings.model_fields[name]
        default = field.get_default(call_default_factory=True)
        lines.append(f"| `{name}` | `{PREFIX}{name.upper()}` | {_shown(default)} | {field.description} |")
    return "\n".join(lines)


def _shown(default: object) -> str:
    if default is None or default in ({}, ()):
        return ""
    return f"`{default.get_secret_value() if isinstance(default, SecretStr) else default}`"


def limits_table() -> str:
    """Every limit, its default, reason and answer."""
    lines = ["| Limit | Default | What it bounds | Why | What answers |", "|---|---|---|---|---|"]
    for name, field in Limits.model_fields.items():
        said = field.json_schema_extra
        shown = _amount(name, field.default)
        lines.append(f"| `{name}` | {shown} | {field.description} | {said['reason']} | {said['answer']} |")
    return "\n".join(lines)


def _amount(name: str, value: float) -> str:
    """A default in the unit that its name says."""
    if name.endswith("seconds"):
        return f"{value:,g} s"
    if not name.endswith("bytes"):
        return f"{value:,}"
    return next(f"{value >> shift} {unit}" for shift, unit in UNITS if value >= 1 << shift)


UNITS = ((30, "GiB"), (20, "MiB"), (10, "KiB"))


def profiles_table() -> str:
    """Every profile and what sets it apart."""
    lines = [
        "| Profile | Default address | Key from | Output limit | Reasoning goes back as |",
        "|---|---|---|---|---|",
    ]
    for profile in PRESETS.values():
        key = f"`{profile.key_variable}`" if profile.needs_key else "none needed"
        back = f"`{profile.reasoning_field}`" if profile.reasoning_field else "not at all"
        lines.append(
            f"| `{profile.name}` | `{profile.base_url}` | {key} | `{profile.max_tokens_field}` | {back} |"
        )
    return "\n".join(lines)


TABLES = {
    "README.md": {"support": support_table, "settings": settings_table, "profiles": profiles_table},
    "docs/limits.md": {"limits": limits_table},
    "docs/dependencies.md": {"dependencies": dependencies_table},
}
"""Documents, and the tables between markers in them."""


def current(document: str, text: str) -> str:
    """A document with each table as the code has it."""
    for name, table in TABLES[document].items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{table()}\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    for document in TABLES:
        file = ROOT / document
        file.write_text(current(document, file.read_text(encoding="utf-8")), encoding="utf-8")
