"""The benchmarks go with the code: none uses what is no longer there."""

from importlib import import_module
from pathlib import Path

import pytest

PROGRAMS = sorted(file.stem for file in (Path(__file__).parents[2] / "bench").glob("*.py"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_can_be_loaded(program):
    assert import_module(f"bench.{program}")
