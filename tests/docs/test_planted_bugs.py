"""Every planted bug has its place: one that has none would be told only by the run that plants them all."""

from pathlib import Path

import pytest
from mutants import MUTANTS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_a_planted_bug_replaces_stands_in_its_file_once(mutant):
    assert (ROOT / "shim" / mutant.file).read_text(encoding="utf-8").count(mutant.old) == 1


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_tests_that_must_notice_a_planted_bug_are_there(mutant):
    for named in mutant.tests.split():
        file, *names = named.partition("[")[0].split("::")
        text = (ROOT / file).read_text(encoding="utf-8")
        assert all(
            f"def {name}(" in text or f"class {name}" in text or f"{name} = " in text for name in names
        )
