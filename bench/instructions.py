"""Instructions of one request, counted by valgrind: the figure that a busy machine cannot blur.

`python -m bench.instructions nonstream burst` runs the shim under callgrind, asks a number of times, and shows what one
request took, all of the process counted: event loop, server and shim, but not the kernel. One client asks on one
connection, so nothing is shared among requests; two runs differ by about a hundredth. `--out FILE` keeps the counts of the
last scenario, for kcachegrind.

The count says nothing about caches: use it to compare two trees, and `bench.compare` for time.
"""

from __future__ import annotations

import argparse
import http.client
import re
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from bench.contenders import CONTENDERS, Served, Unavailable, serving
from bench.processes import cores, pin, upstream

WARM = {"nonstream": 300, "burst": 20, "paced": 2, "toolcall": 1}
"""Requests before the first that counts: caches are full, and the interpreter has specialised its bytecode."""
COUNTED = {"nonstream": 400, "burst": 20, "paced": 10, "toolcall": 1}

_TOTAL = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)


def valgrind() -> str:
    """The program.

    Raises:
        Unavailable: It is not installed.
    """
    if found := shutil.which("valgrind"):
        return found
    raise Unavailable("valgrind is not installed")


def ask(
    connection: http.client.HTTPConnection, shim: Served, scenario: str, times: int, *, store: bool
) -> None:
    """Ask one after the other, on one connection.

    Raises:
        Unavailable: An answer is not as it should be.
    """
    dialect, stream = shim.contender.dialect, scenario != "nonstream"
    body = dialect.body(scenario, stream=stream, store=store)
    headers = {"content-type": "application/json", "authorization": "Bearer bench"}
    for _ in range(times):
        connection.request("POST", dialect.path, body, headers)
        answer = connection.getresponse().read()
        if (dialect.last if stream else dialect.whole) not in answer:
            raise Unavailable(f"{scenario}: {answer[-300:]!r}")


def dumped(pid: int, folder: Path, before: set[Path]) -> Path:
    """Have the counts since the last time written; the file."""
    subprocess.run(["callgrind_control", "--dump", str(pid)], check=True, capture_output=True)
    (new,) = {*folder.glob("counts.*")} - before
    before.add(new)
    return new


def count(scenario: str, *, store: bool, out: Path | None) -> int:
    """Instructions of one request; all counts go to `out`, if it is given."""
    shim_core, feeding_core = cores()
    pin(feeding_core)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shim-bench-")))
        port, _ = stack.enter_context(upstream(feeding_core))
        file = f"--callgrind-out-file={folder / 'counts'}"
        watched = (valgrind(), "--tool=callgrind", file, "--compress-strings=no", "--quiet")
        plain = CONTENDERS["shim"]
        assert plain.command is not None
        command = plain.command
        counted = replace(plain, command=lambda *given: (*watched, *command(*given)))
        shim = stack.enter_context(serving(counted, port, shim_core, folder))
        assert shim.pid is not None
        host = urlsplit(shim.url)
        connection = http.client.HTTPConnection(host.hostname or "", host.port, timeout=120)
        stack.callback(connection.close)
        written: set[Path] = set()
        ask(connection, shim, scenario, WARM[scenario], store=store)
        dumped(shim.pid, folder, written)
        ask(connection, shim, scenario, COUNTED[scenario], store=store)
        counts = dumped(shim.pid, folder, written)
        if out is not None:
            shutil.copy(counts, out)
        return int(_TOTAL.findall(counts.read_text())[-1]) // COUNTED[scenario]


def main() -> None:
    """Count and show."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenario", nargs="*", choices=COUNTED, default=["nonstream", "burst"])
    parser.add_argument("--store", action="store_true", help="have the responses stored")
    parser.add_argument("--out", type=Path, help="where to keep the counts, in callgrind's format")
    given = parser.parse_args()
    for scenario in given.scenario:
        try:
            each = count(scenario, store=given.store, out=given.out)
        except Unavailable as reason:
            parser.error(str(reason))
        print(f"{scenario}: {each:,} instructions each", flush=True)


if __name__ == "__main__":
    main()
