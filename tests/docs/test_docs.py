"""What is written is true: the README's tables, its commands, the published schemas, the version."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import jsonschema
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import tables

from shim import __version__
from shim.cli.commands import COMMANDS
from shim.cli.schemas import texts
from shim.core.assembler import MOST_OUTPUT_ITEMS
from shim.core.deltas import MOST_OUTPUT_BYTES
from shim.core.support import FIELDS, ITEMS, PARTS, TOOLS
from shim.http.routes import ROUTES
from shim.limits import Limits
from shim.settings import Settings
from shim.upstream.sse import MAX_EVENT_BYTES
from shim.wire import items, parts, tools
from shim.wire.openapi import document
from shim.wire.request import CreateResponse

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("document", tables.TABLES)
def test_documents_show_the_tables_of_the_code(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    assert tables.current(document, text) == text, "run: python tests/docs/tables.py"
    assert all(f"<!-- {name}: begin -->" in text for name in tables.TABLES[document])


def test_the_limits_are_told_with_their_reasons_and_answers():
    told = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in told for name in Limits.model_fields)
    assert all(
        field.json_schema_extra.keys() == {"reason", "answer"} for field in Limits.model_fields.values()
    )


def test_every_code_that_the_limits_answer_with_is_one_that_is_raised():
    told = " ".join(field.json_schema_extra["answer"] for field in Limits.model_fields.values())
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "shim").rglob("*.py"))
    codes = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", told)) - set(Limits.model_fields)
    built = {"array_above_max_length", "string_above_max_length", "previous_response_id"}
    assert [code for code in codes - built if f'"{code}"' not in source] == []


def test_every_setting_that_bounds_something_is_among_the_limits():
    names = set(Settings.model_fields) - set(Limits.model_fields)
    assert {name for name in names if re.match(r"max_|.*_max_|.*_bytes$", name)} == set()


def test_every_request_field_stands_in_the_support_table():
    assert set(CreateResponse.model_fields) == set(FIELDS)


@pytest.mark.parametrize(
    ("known", "table"),
    [
        (items._ITEMS, ITEMS),
        (parts._PARTS, PARTS),
        (tools._TOOLS, TOOLS),
    ],
)
def test_every_known_type_stands_in_the_support_table(known, table):
    twins = {"context_compaction", "compaction_summary", "text", "summary_text", "reasoning_text"}
    assert set(known) - twins == {name for name in table if not name.startswith("any ")}


@pytest.mark.parametrize(("name", "text"), texts().items())
def test_the_published_schemas_are_current_and_valid(name, text):
    assert (ROOT / "schemas" / name).read_text(encoding="utf-8") == text, "run: grid-shim schemas"
    if name != "openapi.json":
        jsonschema.Draft202012Validator.check_schema(json.loads(text))


def test_every_reference_in_the_openapi_document_leads_somewhere():
    components = document()["components"]["schemas"]
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document())))
    assert references
    assert references <= set(components)


def test_the_openapi_document_has_every_route_and_no_other():
    served = set()
    for route in ROUTES:
        base = "" if route.path in ("/", "/healthz", "/readyz", "/openapi.json") else "/v1"
        served |= {(base + re.sub(r"{.*?}", "{}", route.path), method.lower()) for method in route.methods}
    served = {(path, method) for path, method in served if method != "head" and path != "/"}
    told = {
        (re.sub(r"{.*?}", "{}", path), method)
        for path, operations in document()["paths"].items()
        for method in operations
        if method != "parameters"
    }
    assert told == served


def test_the_changelog_knows_the_version():
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_command_in_the_readme_exists():
    named = set(re.findall(r"grid-shim ([a-z]+)", README))
    assert named <= set(COMMANDS), named - set(COMMANDS)


def test_every_make_target_in_the_readme_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"^make ([a-z]+)", README, re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


def test_every_file_that_the_readme_links_to_exists():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_core_has_the_same_limits_where_none_is_given():
    defaults = {name: field.default for name, field in Limits.model_fields.items()}
    assert defaults["max_output_bytes"] == MOST_OUTPUT_BYTES
    assert defaults["max_output_items"] == MOST_OUTPUT_ITEMS
    assert defaults["max_event_bytes"] == MAX_EVENT_BYTES
