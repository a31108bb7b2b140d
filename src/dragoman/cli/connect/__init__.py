"""`dragoman connect`: what to tell each client so that it finds the gateway."""

from dragoman.cli.connect.client import Client, Part, Target
from dragoman.cli.connect.clients import CLIENTS
from dragoman.cli.connect.command import command
from dragoman.cli.connect.page import clients_page

__all__ = ["CLIENTS", "Client", "Part", "Target", "clients_page", "command"]
