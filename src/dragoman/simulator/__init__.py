"""A scripted, strict Messages API on loopback, to try and test without an account."""

from dragoman.simulator.app import create_app
from dragoman.simulator.faults import Fault
from dragoman.simulator.server import Simulator
from dragoman.simulator.state import ReceivedRequest, State

__all__ = ["Fault", "ReceivedRequest", "Simulator", "State", "create_app"]
