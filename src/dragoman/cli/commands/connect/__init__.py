"""`dragoman connect`: what to tell each client so that it finds the gateway."""

from dragoman.cli.commands.connect.client import Client, Part, Target
from dragoman.cli.commands.connect.clients import CLIENTS
from dragoman.cli.commands.connect.command import command
from dragoman.cli.commands.connect.page import clients_page

__all__ = ["CLIENTS", "Client", "Part", "Target", "clients_page", "command"]
