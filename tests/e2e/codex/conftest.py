"""The real Codex in front of the endpoint."""

import itertools

import pytest
from codex_cli import Codex


@pytest.fixture
def codex(tmp_path, request):
    """`codex(...)`: a user's Codex; it speaks to the test's `stack`, unless `base_url` names another."""
    numbers = itertools.count()

    def made(base_url=None, **options):
        base_url = base_url or request.getfixturevalue("stack").base_url
        return Codex(tmp_path / f"user{next(numbers)}", base_url, **options)

    return made
