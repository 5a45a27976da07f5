"""A Grid to develop against: an ASGI application that answers as The Grid and its suppliers do.

Faithful where The Grid is documented, strict where some supplier is strict, and able to fail on demand. It is a
development tool and no part of the way from a client to the real Grid; it imports nothing else of `shim`.
"""

from shim.simulator.app import create_simulator
from shim.simulator.config import DEFAULT_KEY, Call, Dialect, Failure, Hold, SimulatorConfig, Turn
from shim.simulator.journal import Journal, Received, key_hash
from shim.simulator.server import RunningSimulator, run_in_thread, running

__all__ = [
    "DEFAULT_KEY",
    "Call",
    "Dialect",
    "Failure",
    "Hold",
    "Journal",
    "Received",
    "RunningSimulator",
    "SimulatorConfig",
    "Turn",
    "create_simulator",
    "key_hash",
    "run_in_thread",
    "running",
]
