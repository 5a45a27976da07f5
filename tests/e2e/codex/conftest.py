"""The real Codex in front of the endpoint."""

import shutil

import pytest
from codex_cli import Codex


@pytest.fixture
def codex(tmp_path, request):
    """`codex(...)`: a user's Codex; it speaks to the test's `stack`, unless `base_url` names another."""
    users = []

    def made(base_url=None, **options):
        base_url = base_url or request.getfixturevalue("stack").base_url
        users.append(Codex(tmp_path / f"user{len(users)}", base_url, **options))
        return users[-1]

    yield made
    for user in users:
        shutil.rmtree(user.home, ignore_errors=True)  # a megabyte each
