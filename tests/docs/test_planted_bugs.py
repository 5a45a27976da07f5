"""Every planted bug has its place: one that has none would be told only by the run that plants them all."""

from pathlib import Path

import pytest
from mutants import MUTANTS

SHIM = Path(__file__).parents[2] / "shim"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_a_planted_bug_replaces_stands_in_its_file_once(mutant):
    assert (SHIM / mutant.file).read_text(encoding="utf-8").count(mutant.old) == 1
