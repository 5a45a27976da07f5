"""Known vulnerabilities of everything that is locked: pip-audit, and whether it was really asked.

    make audit

Exit status 0: every locked distribution was looked up and has none. 1: some have, or could not be looked up although others
could. 3: the data cannot be reached from here, so that nothing is known; pip-audit by itself calls that "no known
vulnerabilities" where a mirror stands in for the index. It is run by the interpreter whose environment holds pip-audit.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

LOCK = Path(__file__).resolve().parent.parent / "requirements" / "dev.txt"
"""All that is used: what the others list stands here, too."""

CLEAN, FOUND, UNREACHABLE = 0, 1, 3
PROBE_SECONDS = 15
"""Time in which one distribution must be looked up; else the data cannot be reached."""
SECONDS = 300

_NOBODY = re.compile(r"Connect(ion)?(Error|Timeout)|ReadTimeout|Could not connect|ServiceError|Max retries")


def verdict(said, complaint=""):
    """The exit status and what to print.

    Args:
        said: pip-audit's JSON, as text; empty if it gave none.
        complaint: What it wrote to its standard error.
    """
    try:
        found = json.loads(said)["dependencies"]
    except (ValueError, KeyError):
        if _NOBODY.search(complaint):
            return UNREACHABLE, "the vulnerability data cannot be reached"
        return FOUND, f"pip-audit failed:\n{complaint.strip()}"
    skipped = [one["name"] for one in found if "skip_reason" in one]
    if len(skipped) == len(found):
        return UNREACHABLE, "the vulnerability data cannot be reached: nothing that is locked is known there"
    bad = [f"{one['name']} {one['version']}: {_ids(one)}" for one in found if one.get("vulns")]
    unknown = [f"{name}: could not be looked up" for name in skipped]
    if bad or unknown:
        return FOUND, "\n".join(bad + unknown)
    return CLEAN, f"{len(found)} distributions, no known vulnerabilities"


def _ids(one):
    return "; ".join(
        f"{each['id']} (fixed in {', '.join(each['fix_versions']) or 'no version'})" for each in one["vulns"]
    )


def pip_audit(lock, seconds):
    """Ask about a lock file: pip-audit's JSON and complaints."""
    options = ["--require-hashes", "--disable-pip", "--progress-spinner=off", "--format=json", "--desc=off"]
    command = [sys.executable, "-m", "pip_audit", "-r", str(lock), "--timeout=10", *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return "", "ReadTimeout: no answer in time"
    return done.stdout, done.stderr


def first_of(text):
    """The first distribution of a lock file, with its hashes."""
    return re.match(r"\S.*(\n[ ]+.*)*\n", text)[0]


def main():
    """Look up one, then all."""
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder) / "probe.txt"
        probe.write_text(first_of(LOCK.read_text(encoding="utf-8")), encoding="utf-8")
        status, told = verdict(*pip_audit(probe, PROBE_SECONDS))
    if status != UNREACHABLE:
        status, told = verdict(*pip_audit(LOCK, SECONDS))
    sys.stdout.write(f"{'NOT AUDITED: ' if status == UNREACHABLE else ''}{told}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
