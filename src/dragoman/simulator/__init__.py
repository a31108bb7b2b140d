"""A scripted, strict Messages API on loopback, for trying and testing without an account."""

from dragoman.simulator.app import create_app
from dragoman.simulator.faults import Fault
from dragoman.simulator.server import Simulator
from dragoman.simulator.state import Received, State

__all__ = ["Fault", "Received", "Simulator", "State", "create_app"]
