"""The ASGI edge: what arrives over HTTP, who may ask, and how answers leave.

Not here: what a request means (`shim.exchange`) and how the upstream is reached (`shim.upstream`).
"""

from shim.http.app import create_app
from shim.http.guards import Misconfigured
from shim.http.logs import configure_logging

__all__ = ["Misconfigured", "configure_logging", "create_app"]
