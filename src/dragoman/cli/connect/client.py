"""The types of `dragoman connect`: a client, the gateway it connects to, and the pieces of its configuration."""

from collections.abc import Callable
from typing import Literal

from dragoman.core.value_object import value_object

KEY_VARIABLE = "DRAGOMAN_CLIENT_KEY"
"""Where clients read the key, if their variable can be chosen. It is not the gateway's own (`DRAGOMAN_API_KEY`): a
gateway that is started in the same shell would take the word `none` for its key."""

Language = Literal["json", "toml", "yaml", "sh", "python", "py", "js", "text", "ini"]


@value_object
class Target:
    """The gateway as a client sees it.

    Attributes:
        address: Its URL, without `/v1`.
        model: The model to use.
        needs_key: Whether it requires a key. If not, clients that insist on a key get the word `none`.
        context: The model's context window in tokens.
        output: The model's maximum output in tokens.
    """

    address: str
    model: str
    needs_key: bool
    context: int
    output: int

    @property
    def base_url(self) -> str:
        """The base URL for OpenAI clients."""
        return f"{self.address}/v1"

    @property
    def key(self) -> str:
        """The text for a client's key field."""
        return "the gateway's API key" if self.needs_key else "none"

    def export(self, variable: str = KEY_VARIABLE) -> str:
        """Return the shell line that sets the key. It never contains the key itself."""
        if not self.needs_key:
            return f"export {variable}=none"
        return f"export {variable}=..." if variable == KEY_VARIABLE else f'export {variable}="${KEY_VARIABLE}"'


@value_object
class Part:
    """One piece of a client's configuration.

    Attributes:
        where: The file or the place it belongs to.
        language: The language of the text.
        text: The text.
        file: Whether `where` is a file.
    """

    where: str
    language: Language
    text: str
    file: bool = False


@value_object
class Client:
    """A client of the OpenAI or the Anthropic API.

    Attributes:
        name: The name on the command line.
        title: The display name.
        key_variable: The environment variable that contains the key. Empty if the key is typed into a window.
        parts: Returns the configuration for a gateway.
        note: What else the user must know.
    """

    name: str
    title: str
    key_variable: str
    parts: Callable[[Target], tuple[Part, ...]]
    note: str = ""
