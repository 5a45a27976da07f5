"""Edits to TOML files that can be taken back: pure functions from text to text.

Comments, order and line ends of what is not touched stay as they are. Every result is read again with another
parser and compared with what was meant, so that a file is never written wrong. Not here: which files, and I/O.
"""

from __future__ import annotations

import copy
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tomlkit import TOMLDocument

Path = tuple[str, ...]

REFUSALS = (TOMLKitError, ValueError, TypeError, KeyError, AttributeError)
"""What tomlkit raises for structures that it cannot edit."""

UNSAFE = "is written in a way that cannot be edited safely"


class EditError(ValueError):
    """The file cannot be edited; the message says why, for the user."""


@dataclass(frozen=True)
class Change:
    """One value to be set.

    Attributes:
        path: Keys from the top.
        value: What stands there afterwards.
    """

    path: Path
    value: Any


def apply(text: str, changes: Sequence[Change]) -> str:
    """The file with every change made.

    Raises:
        EditError: The text is no TOML, or something else stands where a table is needed.
    """
    expected = _plain(text)
    needed = [change for change in changes if _get(expected, change.path) != change.value]
    for change in needed:
        _set_plain(expected, change)
    for way in (_with_tables, _with_inline_tables, _at_the_top):
        with suppress(*REFUSALS):
            edited = way(text, needed)
            if tomllib.loads(edited) == expected:
                return edited
    raise EditError(UNSAFE)


def _with_tables(text: str, changes: Sequence[Change]) -> str:
    """A value that is a table gets a header of its own."""
    document = tomlkit.parse(text)
    for change in changes:
        _set(document, change, inline=False)
    return tomlkit.dumps(document)


def _with_inline_tables(text: str, changes: Sequence[Change]) -> str:
    document = tomlkit.parse(text)
    for change in changes:
        _set(document, change, inline=True)
    return tomlkit.dumps(document)


def _at_the_top(text: str, changes: Sequence[Change]) -> str:
    """One dotted line for each change, before everything else: right where the user writes dotted keys, too."""
    lines = [f"{'.'.join(map(_key, change.path))} = {_inline(change.value)}\n" for change in changes]
    return "".join(lines) + text


def _key(name: str) -> str:
    return str(tomlkit.key(name).as_string())


def _inline(value: Any) -> str:
    return str(_item(value, inline=True).as_string())


def revert(text: str, before: str, changes: Sequence[Change]) -> tuple[str, list[Path]]:
    """The file with the changes taken back, and the paths left alone because they were changed since.

    Args:
        text: The file now.
        before: The file before `apply`.
        changes: What `apply` was given.

    Raises:
        EditError: As for `apply`.
    """
    if text == apply(before, changes):
        return before, []
    expected, original = _plain(text), _plain(before)
    kept = [change.path for change in changes if _get(expected, change.path) != change.value]
    taken = [change.path for change in reversed(changes) if change.path not in kept]
    document, source = tomlkit.parse(text), tomlkit.parse(before)
    with suppress(*REFUSALS):
        for path in taken:
            _take_back(expected, original, path, original)
            _take_back(document, source, path, original)
        reverted = tomlkit.dumps(document)
        if tomllib.loads(reverted) == expected:
            return reverted, kept
    raise EditError(UNSAFE)


def _plain(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EditError(f"is not valid TOML: {error}") from None


def _get(table: Any, path: Path) -> Any:
    for key in path:
        if not isinstance(table, dict) or key not in table:
            return None
        table = table[key]
    return table


def _set_plain(table: dict[str, Any], change: Change) -> None:
    for key in change.path[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise EditError(f"has something other than a table at {key}")
    table[change.path[-1]] = copy.deepcopy(change.value)


def _set(document: TOMLDocument, change: Change, *, inline: bool) -> None:
    table: Any = document
    for key in change.path[:-1]:
        if key not in table:
            table[key] = tomlkit.table(is_super_table=True)
        table = table[key]
    key, value = change.path[-1], _item(change.value, inline=inline)
    if isinstance(value, Table) and key in table:
        del table[key]  # in place, tomlkit would keep parts of the old table
    table[key] = value


def _item(value: Any, *, inline: bool) -> Any:
    if not isinstance(value, dict):
        return tomlkit.item(value)
    table = tomlkit.inline_table() if inline else tomlkit.table()
    table.update(value)
    return table


def _take_back(table: Any, source: Any, path: Path, original: dict[str, Any]) -> None:
    """Put back what stood at a path, with its own comments; or remove it, and parents that did not exist before."""
    holder = _walk(table, path)
    del holder[path[-1]]
    if _get(original, path) is not None:
        holder[path[-1]] = _walk(source, path)[path[-1]]
        return
    parent = path[:-1]
    if parent and not holder and _get(original, parent) is None:
        _take_back(table, source, parent, original)


def _walk(document: Any, path: Path) -> Any:
    for key in path[:-1]:
        document = document[key]
    return document
