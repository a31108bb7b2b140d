"""Every client that `dragoman connect` knows."""

from collections.abc import Mapping

from dragoman.cli.commands.connect.agents import AGENTS
from dragoman.cli.commands.connect.client import Client
from dragoman.cli.commands.connect.editors import EDITORS
from dragoman.cli.commands.connect.libraries import LIBRARIES

CLIENTS: Mapping[str, Client] = {client.name: client for client in (*EDITORS, *AGENTS, *LIBRARIES)}
