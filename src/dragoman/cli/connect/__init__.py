"""The settings of each client that `dragoman connect` knows."""

from collections.abc import Mapping

from dragoman.cli.connect.client import Client
from dragoman.cli.connect.coding_agents import AGENTS
from dragoman.cli.connect.editors import EDITORS
from dragoman.cli.connect.libraries import LIBRARIES

CLIENTS: Mapping[str, Client] = {client.name: client for client in (*EDITORS, *AGENTS, *LIBRARIES)}
