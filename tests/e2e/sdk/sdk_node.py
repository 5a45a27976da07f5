"""Runs the scenarios under `node/`, which print JSON lines."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from npm import node_modules

SCRIPTS = Path(__file__).parent / "node"
DEADLINE = 60  # seconds; only a script that hangs gets there


def run_node(script, scenario, base_url, on_line=lambda line: None):
    """The last line that a scenario prints; the lines before it go to `on_line` as they come.

    Fails with the script's standard error if it does not end well.
    """
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: it runs the JavaScript SDKs")
    node_modules()
    arguments = [node, SCRIPTS / script, scenario, base_url]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        lines = []
        for line in running.stdout:
            lines.append(json.loads(line))
            on_line(lines[-1])
        _, errors = running.communicate(timeout=DEADLINE)
    assert running.returncode == 0, errors
    return lines[-1]
