"""The way to the upstream and back: connections, redirects, retries, errors, the list of instruments.

The only package that speaks HTTP as a client. It knows nothing of the Responses API.
"""

from shim.upstream.catalog import Catalog
from shim.upstream.client import Upstream
from shim.upstream.sse import Around, Taker
from shim.upstream.stream import ChatStream, RawReply

__all__ = ["Around", "Catalog", "ChatStream", "RawReply", "Taker", "Upstream"]
