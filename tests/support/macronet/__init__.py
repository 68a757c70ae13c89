"""macronet: a lab network of Macro VPN nodes in netlab: relays, exits, a client behind a home NAT, a web and a name server."""

from .build import program
from .computer import Computer, computer, summary
from .countries import write_countries
from .watch import Parties
from .world import Node, World

__all__ = ["Computer", "computer", "summary", "Node", "Parties", "World", "program", "write_countries"]
