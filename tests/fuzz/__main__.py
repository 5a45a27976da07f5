"""Coverage-guided fuzzing of one boundary: `python tests/fuzz TARGET --seconds N`. See README.md beside this file."""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import atheris

CORPUS = Path(__file__).parent / "corpus"
LONGEST = 4096


def main() -> None:
    """Fuzz until the time is over; a find ends it, with the input in a file."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("target")
    arguments.add_argument("--seconds", type=int, default=180)
    arguments.add_argument("--grow", type=Path, help="folder for inputs that reach something new")
    asked = arguments.parse_args()
    with atheris.instrument_imports(include=["shim"]):
        from fuzz_targets import JSON, TARGETS, respelled  # noqa: PLC0415 -- what is imported here is measured
    target = TARGETS[asked.target]
    folders = [str(CORPUS / asked.target)]
    if asked.grow:
        asked.grow.mkdir(parents=True, exist_ok=True)
        folders.insert(0, str(asked.grow))
    flags = [f"-max_total_time={asked.seconds}", f"-max_len={LONGEST}", "-print_final_stats=1", "-timeout=20"]

    def mutated(data: bytes, longest: int, seed: int) -> bytes:
        """Every other time as JSON, if it is some."""
        other = respelled(data, random.Random(seed)) if seed % 2 else None
        return atheris.Mutate(data, longest) if other is None else other[:longest]

    atheris.Setup(
        [sys.argv[0], *flags, *folders], target, custom_mutator=mutated if asked.target in JSON else None
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
