"""A client, the gateway that it is to find, and what it is told."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

KEY_VARIABLE = "DRAGOMAN_API_KEY"
"""Where clients that can choose look for the key: the gateway itself reads its key from there, too."""

Language = Literal["json", "toml", "yaml", "sh", "python", "py", "js", "text", "ini"]


@dataclass(frozen=True, slots=True)
class Target:
    """The gateway, as a client sees it.

    Attributes:
        address: Its address, without `/v1`.
        model: The model to ask.
        keyed: Whether it wants a key; where not, clients that insist on one are given the word `none`.
        context: Tokens that the model reads at most.
        output: Tokens that it writes at most.
    """

    address: str
    model: str
    keyed: bool
    context: int
    output: int

    @property
    def base_url(self) -> str:
        """The base URL of OpenAI's clients."""
        return f"{self.address}/v1"

    @property
    def key(self) -> str:
        """What a person types where a client has a field for the key."""
        return "the gateway's key" if self.keyed else "none"

    def export(self, variable: str = KEY_VARIABLE) -> str:
        """The line of a shell that sets the key. The key itself is never printed."""
        if not self.keyed:
            return f"export {variable}=none"
        return f"export {variable}=..." if variable == KEY_VARIABLE else f'export {variable}="${KEY_VARIABLE}"'


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that a client is told.

    Attributes:
        where: The file it goes into, or where else.
        language: What it is written in.
        text: It.
        file: Whether `where` is a file of the client's.
    """

    where: str
    language: Language
    text: str
    file: bool = False


@dataclass(frozen=True, slots=True)
class Client:
    """A client of OpenAI's or Anthropic's API.

    Attributes:
        name: What one types.
        title: What it is called.
        variable: The variable by which it is given the key; empty where that is typed into a window.
        parts: What it is told of a gateway.
        note: What is to be known besides.
    """

    name: str
    title: str
    variable: str
    parts: Callable[[Target], tuple[Part, ...]]
    note: str = ""
