"""Tools and tool choice: the functions of a request are native tools of the model, never prompt text."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dragoman.core.catalog import Model
from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import JSONObject, MessagesRequest
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.shared.schemas import UNIONS, closed, not_enforced, tool_input

WEB_SEARCH = "web_search"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Function:
    """A function that a request defines.

    Attributes:
        path: Its place in the request.
        name: Its name.
        parameters: The client's own JSON schema.
        description: What it does.
        strict: Whether its arguments must fit the schema.
        mark: The client's cache mark.
    """

    path: str
    name: str
    parameters: JSONObject | None = None
    description: str | None = None
    strict: bool | None = None
    mark: JSONObject | None = None


@value_object
class ToolChoice:
    """Which tools the model may or must use.

    Attributes:
        kind: `auto`, `none`, `any` or `tool`, as the API says it; none where the client said nothing.
        name: The tool, if `kind` is `tool`.
        only: The tools that may be used, if not all.
        param: Where the client said so.
    """

    kind: str | None = None
    name: str | None = None
    only: frozenset[str] | None = None
    param: str = "tool_choice"

    @property
    def forced(self) -> bool:
        """Whether a tool must be called."""
        return self.kind in ("any", "tool")


@value_object
class Toolbox:
    """The tools of a request, ready for the body.

    Attributes:
        tools: Definitions, as the API takes them.
        wanted: Which may or must be used.
        schemas: The client's own parameter schemas, by name.
        parallel: Whether one message may hold several calls; none for the API's default.
    """

    tools: list[JSONObject] = field(default_factory=list)
    wanted: ToolChoice = field(default_factory=ToolChoice)
    schemas: dict[str, JSONObject] = field(default_factory=dict)
    parallel: bool | None = None


def tools_by_name(functions: Iterable[Function], warnings: list[RequestWarning]) -> dict[str, JSONObject]:
    """The functions as the API takes them.

    Raises:
        InvalidRequest: One has no possible name or schema, or two have the same; `param` names it.
    """
    found: dict[str, JSONObject] = {}
    for function in functions:
        if function.name in found:
            raise InvalidRequest(f"Two tools are named `{function.name}`.", param=f"{function.path}.name")
        found[function.name] = _tool(function, warnings)
    return found


def offer_tools(tools: Mapping[str, JSONObject], wanted: ToolChoice) -> list[JSONObject]:
    """The tools that the model gets to see.

    Raises:
        InvalidRequest: The choice names a tool that is not there, or forces one where there is none.
    """
    named = {wanted.name} if wanted.name else wanted.only or frozenset()
    for name in sorted(named - tools.keys()):
        raise InvalidRequest(f"`{wanted.param}` names the tool `{name}`, but there is none.", param=wanted.param)
    found = [tool for name, tool in tools.items() if wanted.only is None or name in wanted.only]
    if wanted.forced and not found:
        raise InvalidRequest(f"`{wanted.param}` forces a tool, but there are none.", param=wanted.param)
    return found


def set_tools(body: MessagesRequest, box: Toolbox, called: Iterable[str]) -> None:
    """Put tools and choice into the body.

    Args:
        body: The request.
        box: The tools.
        called: Names of the tools that the conversation already called; the API wants some tool where there are calls.
    """
    if box.tools:
        body["tools"] = box.tools
        if choice := _api_choice(box):
            body["tool_choice"] = choice
    elif names := list(called):
        body["tools"] = [{"name": name, "input_schema": {"type": "object", "properties": {}}} for name in names]
        body["tool_choice"] = {"type": "none"}


def soften(wanted: ToolChoice, model: Model, warnings: list[RequestWarning]) -> tuple[ToolChoice, str | None]:
    """What to send where a model refuses to be forced: the choice is its own, and an instruction asks for the tool.

    Returns:
        The choice, and the instruction if there is one.
    """
    if not wanted.forced or model.forced_tools:
        return wanted, None
    warnings.append(
        RequestWarning(
            "mapped", wanted.param, f"{model.name} cannot be forced to call a tool; it was told to in words."
        )
    )
    which = f"the tool `{wanted.name}`" if wanted.name else "at least one of the tools"
    instruction = f"You must answer by calling {which}. Do not answer in words alone."
    return ToolChoice("auto", only=wanted.only, param=wanted.param), instruction


def web_search(
    place: Mapping[str, str | None], context_size: str | None, path: str, warnings: list[RequestWarning]
) -> JSONObject:
    """The web search server tool.

    Args:
        place: Roughly where the user is: `city`, `country`, `region`, `timezone`.
        context_size: How much of the web the client wants to be read.
        path: Where the client asked for it.
        warnings: Where to say what Claude decides itself.
    """
    tool: JSONObject = {"type": "web_search_20250305", "name": WEB_SEARCH}
    if context_size not in (None, "medium"):
        detail = "Claude decides itself how much of the web it reads."
        warnings.append(RequestWarning("ignored", f"{path}.search_context_size", detail))
    if known := {key: value for key, value in place.items() if value}:
        tool["user_location"] = {"type": "approximate", **known}
    return tool


def _tool(function: Function, warnings: list[RequestWarning]) -> JSONObject:
    if not _NAME.fullmatch(function.name):
        raise InvalidRequest(
            f"`{function.name[:80]}` is no name for a tool: letters, digits, `_` and `-`, 1 to 64 of them.",
            param=f"{function.path}.name",
        )
    schema = tool_input(function.parameters, f"{function.path}.parameters")
    if function.parameters and not UNIONS.isdisjoint(function.parameters):
        detail = "Alternatives at the top of a tool's schema were merged into one object."
        warnings.append(RequestWarning("mapped", f"{function.path}.parameters", detail))
    reason = not_enforced(schema) if function.strict else None
    strict = function.strict and reason is None
    tool: JSONObject = {"name": function.name, "input_schema": closed(schema) if strict else schema}
    if function.description:
        tool["description"] = function.description
    if strict:
        tool["strict"] = True
    elif function.strict:
        detail = f"Strict tools of Claude take no {reason}; the tool was sent as it is."
        warnings.append(RequestWarning("ignored", f"{function.path}.strict", detail))
    if function.mark is not None:
        tool["cache_control"] = function.mark
    return tool


def _api_choice(box: Toolbox) -> JSONObject | None:
    choice: JSONObject = {"type": box.wanted.kind or "auto"}
    if box.wanted.name:
        choice["name"] = box.wanted.name
    if box.parallel is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    return choice if box.wanted.kind or len(choice) > 1 else None
