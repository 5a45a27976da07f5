"""An upstream's refusal, from its HTTP answer to the fault a client sees.

The words are read in `shim.core.faults`; here come the headers, the address, the key's kind and the list of
instruments. `fault_from_error` is at home there and exported here as well, for errors inside a stream.
"""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any

from shim.core.faults import WRONG_PATH, clean, fault_from_error
from shim.errors import Fault, UpstreamFault, unknown_model
from shim.upstream.retry import FINAL_CODES, LONGEST_TOLD, RETRIED, Refused, retry_after
from shim.upstream.troubles import place

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from shim.upstream.catalog import Catalog

__all__ = ["about_key", "about_model", "fault_from_error", "refusal", "web_page"]

MOST_NAMED = 60
"""Instruments that an error names; some upstreams have hundreds."""
TOO_MANY_REQUESTS = 429
CONSUMPTION_KEY_HINT = "The Grid takes a Consumption key for inference; a Trading key gets 401."


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> Refused:
    """What an answer that is neither success nor redirect means, and whether to try again."""
    fault = fault_from_error(_payload(body), status)
    after = retry_after(headers, time.time())
    if after is not None and status in RETRIED:
        fault.retry_after = math.ceil(min(after, LONGEST_TOLD))
    final = fault.code in FINAL_CODES or (status == TOO_MANY_REQUESTS and fault.code == "insufficient_quota")
    return Refused(fault, again=status in RETRIED and not final, after=after, status=status)


def about_key(fault: Fault) -> Fault:
    """The Grid's 401, with the most frequent reason."""
    fault.message = f"{fault.message.rstrip()} ({CONSUMPTION_KEY_HINT})"
    return fault


def about_model(fault: Fault, model: str | None, catalog: Catalog, url: httpx.URL) -> Fault:
    """A 404 told apart: the catalog knows whether it is the model or the path that is unknown.

    The Grid answers both with the same words.

    Args:
        fault: `model_not_found`, or a 404 that looks like a router's (`WRONG_PATH`).
        model: The request's model.
        catalog: What the upstream serves.
        url: Where the request went.
    """
    known = catalog.get(model) is not None
    if fault.code == WRONG_PATH and (known or catalog.fallback or not model):
        return UpstreamFault(f"{fault.message} It was asked at {place(url)}{url.path}.", code=WRONG_PATH)
    names = [instrument.id for instrument in catalog.instruments]
    if known or not names:
        return fault
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    said = f"The model '{clean(model)[:200]}' does not exist." if model else fault.message
    return unknown_model(f"{said} Available: {', '.join(names[:MOST_NAMED])}{more}.")


def web_page(url: httpx.URL) -> UpstreamFault:
    """A 200 that is a page for people."""
    return UpstreamFault(
        f"The upstream at {place(url)}{url.path} answered with a web page: its base URL looks wrong.",
        code=WRONG_PATH,
    )


def _payload(body: bytes) -> Any:
    text = body.decode("utf-8", "replace").strip()
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return text
