"""Codex's configuration folder: what `setup codex` writes there, and how it takes it back.

Three files: the provider goes into the user's `config.toml`, the profile into `grid.config.toml` (Codex keeps each
profile in a file of its own), the catalogue into `grid-models.json`. A record of what was there before makes undo
exact; setting up again takes the last set-up back first, so that it can be repeated at will.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shim.cli.problem import Problem
from shim.cli.toml_edit import Change, EditError, apply, revert

if TYPE_CHECKING:
    from collections.abc import Mapping

JsonObject = dict[str, Any]

PROFILE = "grid"
PROVIDER = "grid"
CONFIG = "config.toml"
PROFILE_FILE = f"{PROFILE}.config.toml"
CATALOGUE_FILE = "grid-models.json"
RECORD_FILE = "grid-shim-setup.json"
BACKUP_SUFFIX = ".before-grid-shim"


@dataclass(frozen=True)
class FileRecord:
    """What was done to one TOML file.

    Attributes:
        before: Its text before, None if it did not exist.
        changes: What was set.
    """

    before: str | None
    changes: list[Change]


@dataclass
class Plan:
    """What the folder shall look like.

    Attributes:
        texts: New text per file name; None: the file goes.
        records: What undo needs.
        kept: Values that undo leaves alone, since the user changed them.
    """

    texts: dict[str, str | None] = field(default_factory=dict)
    records: dict[str, FileRecord] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)


def codex_home(variables: Mapping[str, str]) -> Path:
    """Codex's folder: `CODEX_HOME`, else `~/.codex`."""
    named = variables.get("CODEX_HOME")
    return Path(named).expanduser() if named else Path.home() / ".codex"


@dataclass(frozen=True)
class Wanted:
    """What Codex shall be told.

    Attributes:
        provider: The provider's table.
        model: The profile's model.
        catalogue: The catalogue.
        default: Whether it shall also be what plain `codex` uses.
    """

    provider: JsonObject
    model: str
    catalogue: JsonObject
    default: bool = False

    def changes(self, home: Path) -> dict[str, list[Change]]:
        """The values to set, per file."""
        chosen = {
            "model": self.model,
            "model_provider": PROVIDER,
            "web_search": "disabled",
            "model_catalog_json": str(home / CATALOGUE_FILE),
        }
        choice = [Change((key,), value) for key, value in chosen.items()]
        provider = Change(("model_providers", PROVIDER), self.provider)
        return {CONFIG: [*(choice if self.default else []), provider], PROFILE_FILE: choice}


@dataclass(frozen=True)
class Folder:
    """Codex's folder, read and written."""

    home: Path

    def read(self, name: str) -> str | None:
        """A file's text with its own line ends, or None if there is none."""
        try:
            return (self.home / name).read_bytes().decode("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise Problem(f"{self.home / name} cannot be read: {error}.", "mend or move that file.") from None

    def set_up(self, wanted: Wanted) -> Plan:
        """The plan that sets up, on top of a folder from which the last set-up was taken back."""
        clean, plan = self.undo(), Plan()
        for name, changes in wanted.changes(self.home).items():
            before = clean.texts[name] if name in clean.texts else self.read(name)
            plan.texts[name] = self._edited(name, before, changes)
            plan.records[name] = FileRecord(before, changes)
        plan.texts[CATALOGUE_FILE] = json.dumps(wanted.catalogue, indent=1) + "\n"
        return plan

    def _edited(self, name: str, before: str | None, changes: list[Change]) -> str:
        try:
            return apply(before or "", changes)
        except EditError as error:
            fix = "mend it, or paste by hand what grid-shim serve prints."
            raise Problem(f"{self.home / name} {error}.", fix) from None

    def undo(self) -> Plan:
        """The plan that takes the last set-up back; empty if there was none."""
        plan = Plan()
        records = self.records()
        for name, record in records.items():
            text = self.read(name)
            if text is None:
                continue
            plan.texts[name], kept = self._reverted(name, text, record)
            plan.kept += [f"{name}: {'.'.join(path)}" for path in kept]
        if records:
            plan.texts |= {CATALOGUE_FILE: None, RECORD_FILE: None, CONFIG + BACKUP_SUFFIX: None}
        return plan

    def _reverted(self, name: str, text: str, record: FileRecord) -> tuple[str | None, list[tuple[str, ...]]]:
        try:
            reverted, kept = revert(text, record.before or "", record.changes)
        except EditError as error:
            raise Problem(f"{self.home / name} {error}.", "mend it, then try again.") from None
        gone = record.before is None and not reverted.strip()
        return (None if gone else reverted), kept

    def records(self) -> dict[str, FileRecord]:
        """What the last set-up did."""
        text = self.read(RECORD_FILE)
        if text is None:
            return {}
        return {
            name: FileRecord(one["before"], [Change(tuple(c["path"]), c["value"]) for c in one["changes"]])
            for name, one in json.loads(text).items()
        }

    def write(self, plan: Plan) -> list[str]:
        """Carry a plan out; returns the names of the files that changed."""
        self.home.mkdir(parents=True, exist_ok=True)
        texts = dict(plan.texts)
        if plan.records:
            texts[RECORD_FILE] = json.dumps(
                {name: asdict(one) for name, one in plan.records.items()}, indent=1
            )
            texts[CONFIG + BACKUP_SUFFIX] = plan.records[CONFIG].before
        changed = [name for name, text in texts.items() if text != self.read(name)]
        for name in changed:
            _write(self.home / name, texts[name])
        return changed


def _write(file: Path, text: str | None) -> None:
    """Replace a file's text in one step, keeping its mode and following a symbolic link; None removes the file."""
    if text is None:
        file.unlink(missing_ok=True)
        return
    target = file.resolve()
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o600
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    with os.fdopen(handle, "wb") as stream:
        stream.write(text.encode("utf-8"))
    Path(temporary).chmod(mode)
    Path(temporary).replace(target)
