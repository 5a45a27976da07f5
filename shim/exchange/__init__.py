"""One request from history to last byte; every transport shares it."""

from shim.exchange.caller import Caller
from shim.exchange.exchange import Exchange
from shim.exchange.turn import Summary, Turn

__all__ = ["Caller", "Exchange", "Summary", "Turn"]
