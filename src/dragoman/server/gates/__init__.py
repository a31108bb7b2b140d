"""The gates at the door: who may come in, under which name of this machine, and from which web pages."""

from dragoman.server.gates.auth import OPEN_PATHS, Holder, KeyGate
from dragoman.server.gates.hosts import HostGate
from dragoman.server.gates.origins import OriginGate

__all__ = ["OPEN_PATHS", "Holder", "HostGate", "KeyGate", "OriginGate"]
