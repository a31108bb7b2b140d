"""Which tools the model may or must use."""

from collections.abc import Iterable, Mapping

from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.responses.client_tools import CLIENT_TOOLS, ToolBinding
from dragoman.dialects.responses.tool_names import ToolNames
from dragoman.dialects.responses.tool_schema import WEB_SEARCH_TYPES, NamedChoice
from dragoman.dialects.shared.tools import WEB_SEARCH, ToolChoice


def convert_tool_choice(
    choice: str | NamedChoice | None, names: ToolNames, bindings: Mapping[str, ToolBinding]
) -> ToolChoice:
    """Convert the tool choice of a request.

    Args:
        choice: The choice.
        names: The names that Claude knows the tools by.
        bindings: The tools.

    Raises:
        InvalidRequest: The choice has no name.
        UnsupportedFeature: It names a tool of an unsupported type.
    """
    match choice:
        case None:
            return ToolChoice()
        case "required":
            return ToolChoice("any")
        case str(kind):
            return ToolChoice(kind)
        case NamedChoice(type="allowed_tools", mode=mode, tools=tools):
            chosen = _Chooser(names, bindings)
            allowed = frozenset(
                name
                for index, tool in enumerate(tools or ())
                for name in chosen.allowed(tool, f"tool_choice.tools[{index}]")
            )
            return ToolChoice("any" if mode == "required" else "auto", allowed=allowed)
        case NamedChoice():
            name = _Chooser(names, bindings).one(choice.type, choice.namespace, choice.name, "tool_choice")
            return ToolChoice("tool", name)


class _Chooser:
    """Finds the tools that a choice names, by the names that Claude knows."""

    def __init__(self, names: ToolNames, bindings: Mapping[str, ToolBinding]) -> None:
        self._names = names
        self._bindings = bindings

    def allowed(self, tool: JSONObject, path: str) -> Iterable[str]:
        """Return the tools of an entry of `allowed_tools`; a namespace means all its tools."""
        name, namespace = _text(tool.get("name")), _text(tool.get("namespace"))
        if tool.get("type") == "namespace":
            return [flat for flat, binding in self._bindings.items() if binding.namespace == _required(name, path)]
        return [self.one(str(tool.get("type")), namespace, name, path)]

    def one(self, tool_type: str, namespace: str | None, name: str | None, path: str) -> str:
        """Return the tool of a choice. Without a namespace, a tool of a namespace is found if its name is unique."""
        if tool_type in WEB_SEARCH_TYPES:
            return WEB_SEARCH
        if tool_type in CLIENT_TOOLS:
            return tool_type
        if tool_type not in ("function", "custom"):
            detail = f"`{path}.type` is `{tool_type[:60]}`; a tool of that type cannot be chosen."
            raise UnsupportedFeature(detail, param=f"{path}.type")
        name = _required(name, path)
        flat = self._names.flat(namespace, name)
        if not namespace and flat not in self._bindings:
            matching = [key for key, binding in self._bindings.items() if binding.name == name]
            return matching[0] if len(matching) == 1 else flat
        return flat


def _required(name: str | None, path: str) -> str:
    if not name:
        param = f"{path}.name"
        raise InvalidRequest(f"Missing required parameter: `{param}`.", code="missing_required_parameter", param=param)
    return name


def _text(value: JSON) -> str | None:
    return value if isinstance(value, str) else None
