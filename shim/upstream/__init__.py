"""The way to the upstream and back: connections, redirects, retries, errors, the list of instruments.

The only package that speaks HTTP as a client. It knows nothing of the Responses API.
"""

from shim.upstream.catalog import Catalog
from shim.upstream.client import Upstream
from shim.upstream.sse import Outlet, Taker, Teller
from shim.upstream.stream import ChatStream, RawReply

__all__ = ["Catalog", "ChatStream", "Outlet", "RawReply", "Taker", "Teller", "Upstream"]
