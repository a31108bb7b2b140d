"""Tools and tool choice: the functions of a request become native tools of the model, never prompt text."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from dragoman.core.catalog import Model
from dragoman.core.content_cache import ContentCache
from dragoman.core.errors import InvalidRequest
from dragoman.core.known_message import KnownTool
from dragoman.core.messages import JSONObject, MessagesRequest
from dragoman.core.value_object import replace, value_object
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.shared.output_schemas import api_schema, unenforceable_part
from dragoman.dialects.shared.tool_schemas import PartCount, tool_schema

WEB_SEARCH = "web_search"
_MAX_CACHED_BYTES = 4 * 1024 * 1024
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


PropertyNames: TypeAlias = dict[str, Mapping[str, str]]
"""The client's names of the properties that were renamed: by tool, by the name that Claude sees."""


@value_object
class Function:
    """A function that a request defines.

    Attributes:
        path: Its path in the request.
        name: Its name.
        parameters: The client's own JSON schema.
        description: Its description.
        strict: Whether its arguments must match the schema.
        cache_control: The client's cache mark.
    """

    path: str
    name: str
    parameters: JSONObject | None = None
    description: str | None = None
    strict: bool | None = None
    cache_control: JSONObject | None = None


@dataclass(slots=True)
class _PreparedTools:
    """Functions as the API takes them, with what `tools_by_name` says about them. Not to be changed: many share it.

    Attributes:
        tools: The tools, by name.
        warnings: What was changed.
        renamed: The client's names of renamed properties.
    """

    tools: dict[str, JSONObject] = field(default_factory=dict)
    warnings: list[RequestWarning] = field(default_factory=list)
    renamed: PropertyNames = field(default_factory=dict)


class Functions(list[Function]):
    """The functions of a request. Requests that have the same tools may share them: they must not be changed.

    Attributes:
        prepared: What `tools_by_name` has made of them; None before the first time.
    """

    __slots__ = ("prepared",)

    def __init__(self, functions: Iterable[Function]) -> None:
        super().__init__(functions)
        self.prepared: _PreparedTools | None = None


_PREPARED: ContentCache[_PreparedTools] = ContentCache(_MAX_CACHED_BYTES)
"""The tools of earlier requests, by the JSON of their functions: an agent sends the same ones with every request."""


@value_object
class ToolChoice:
    """Which tools the model may or must use.

    Attributes:
        kind: `auto`, `none`, `any` or `tool`, as the API names it; None: the client chose nothing.
        name: The tool, if `kind` is `tool`.
        allowed: The tools that may be used; None: all.
        param: The request's field.
    """

    kind: str | None = None
    name: str | None = None
    allowed: frozenset[str] | None = None
    param: str = "tool_choice"

    @property
    def forced(self) -> bool:
        """Whether a tool must be called."""
        return self.kind in ("any", "tool")


@value_object
class Toolset:
    """The tools of a request, ready for the body.

    Attributes:
        tools: Definitions, as the API takes them.
        choice: Which of them may or must be used.
        schemas: The client's own parameter schemas, by name.
        parallel: Whether one message may hold several calls; None: the API's default.
        renamed: The client's names of renamed properties.
    """

    tools: list[JSONObject] = field(default_factory=list)
    choice: ToolChoice = field(default_factory=ToolChoice)
    schemas: dict[str, JSONObject] = field(default_factory=dict)
    parallel: bool | None = None
    renamed: PropertyNames = field(default_factory=dict)


def tools_by_name(
    functions: Functions, warnings: list[RequestWarning], renamed: PropertyNames
) -> dict[str, JSONObject]:
    """Return the functions as the API takes them.

    Args:
        functions: The functions.
        warnings: Receives what was changed.
        renamed: Receives the client's names of renamed properties.

    Raises:
        InvalidRequest: A name or a schema is invalid, or two different functions have one name; `param` names it.
    """
    prepared = functions.prepared = functions.prepared or _prepared(functions)
    warnings += prepared.warnings
    renamed |= prepared.renamed
    # Marks are removed from tools later.
    return {name: tool if type(tool) is KnownTool else tool.copy() for name, tool in prepared.tools.items()}


def _prepared(functions: Functions) -> _PreparedTools:
    content = msgspec.json.encode(functions)
    prepared = _PREPARED.get(content)
    if prepared is None:
        prepared = _prepare(functions)
        _PREPARED.put(content, prepared)
    return prepared


def _prepare(functions: Functions) -> _PreparedTools:
    prepared = _PreparedTools()
    defined: dict[str, Function] = {}
    count = PartCount()
    for function in functions:
        if (first := defined.setdefault(function.name, function)) is not function:
            if replace(function, path=first.path) == first:
                detail = "This tool is in the list twice."
                prepared.warnings.append(RequestWarning("ignored", function.path, detail))
                continue
            raise InvalidRequest(
                f"Two tools are named `{function.name}`. Names must be unique.", param=f"{function.path}.name"
            )
        tool = _tool(function, prepared.warnings, prepared.renamed, count)
        prepared.tools[function.name] = tool if "cache_control" in tool else KnownTool(tool)
    return prepared


def allowed_tools(tools: Mapping[str, JSONObject], choice: ToolChoice) -> list[JSONObject]:
    """Return the tools that the model may use.

    Raises:
        InvalidRequest: The choice names a tool that does not exist, or forces a tool when there are none.
    """
    named = {choice.name} if choice.name else choice.allowed or frozenset()
    for name in sorted(named - tools.keys()):
        raise InvalidRequest(f"`{choice.param}` names the tool `{name}`, which is not in `tools`.", param=choice.param)
    allowed = [tool for name, tool in tools.items() if choice.allowed is None or name in choice.allowed]
    if choice.forced and not allowed:
        raise InvalidRequest(f"`{choice.param}` forces a tool call, but there are no tools.", param=choice.param)
    return allowed


def set_tools(body: MessagesRequest, tools: Toolset, called: Iterable[str]) -> None:
    """Set tools and tool choice of the body.

    Args:
        body: The body.
        tools: The tools.
        called: Names of the tools that the conversation called. With calls, the API requires at least one tool.
    """
    if tools.tools:
        body["tools"] = tools.tools
        choice: JSONObject = {"type": tools.choice.kind or "auto"}
        if tools.choice.name:
            choice["name"] = tools.choice.name
        if tools.parallel is False and choice["type"] != "none":
            choice["disable_parallel_tool_use"] = True
        if tools.choice.kind or len(choice) > 1:
            body["tool_choice"] = choice
    elif names := list(called):
        body["tools"] = [{"name": name, "input_schema": {"type": "object", "properties": {}}} for name in names]
        body["tool_choice"] = {"type": "none"}


def soften_choice(choice: ToolChoice, model: Model, warnings: list[RequestWarning]) -> tuple[ToolChoice, str]:
    """Return what to send to a model that cannot be forced to call a tool.

    Returns:
        A choice that leaves it to the model, and an instruction to call the tool.
    """
    detail = f"{model.name} cannot be forced to call a tool; it got an instruction instead."
    warnings.append(RequestWarning("mapped", choice.param, detail))
    which = f"the tool `{choice.name}`" if choice.name else "at least one of the tools"
    # Stored thinking is bound to these words: a change makes it invalid.
    instruction = f"You must answer by calling {which}. Do not answer in words alone."
    return ToolChoice("auto", allowed=choice.allowed, param=choice.param), instruction


def web_search_tool(
    location: Mapping[str, str | None], context_size: str | None, path: str, warnings: list[RequestWarning]
) -> JSONObject:
    """Return the web search server tool.

    Args:
        location: The user's approximate `city`, `country`, `region`, `timezone`.
        context_size: The client's `search_context_size`.
        path: The path of the options in the request.
        warnings: Receives a warning for what only Claude decides.
    """
    tool: JSONObject = {"type": "web_search_20250305", "name": WEB_SEARCH}
    if context_size not in (None, "medium"):
        detail = "Claude itself decides how much of the web it reads."
        warnings.append(RequestWarning("ignored", f"{path}.search_context_size", detail))
    if known := {key: value for key, value in location.items() if value}:
        tool["user_location"] = {"type": "approximate", **known}
    return tool


def _tool(function: Function, warnings: list[RequestWarning], renamed: PropertyNames, count: PartCount) -> JSONObject:
    if not _TOOL_NAME.fullmatch(function.name):
        raise InvalidRequest(
            f"`{function.name[:80]}` is not a valid tool name. Use 1 to 64 letters, digits, `_` and `-`.",
            param=f"{function.path}.name",
        )
    prepared = tool_schema(function.parameters, f"{function.path}.parameters", count)
    schema = prepared.schema
    warnings += [RequestWarning("mapped", f"{function.path}.parameters", change) for change in prepared.changes]
    if prepared.names:
        renamed[function.name] = prepared.names
    unenforceable = unenforceable_part(schema) if function.strict else None
    strict = function.strict and unenforceable is None
    tool: JSONObject = {"name": function.name, "input_schema": api_schema(schema) if strict else schema}
    if description := "\n\n".join(filter(None, [function.description, *prepared.rules])):
        tool["description"] = description
    if strict:
        tool["strict"] = True
    elif function.strict:
        detail = f"Strict tools of Claude do not support {unenforceable}; the tool was sent without `strict`."
        warnings.append(RequestWarning("ignored", f"{function.path}.strict", detail))
    if function.cache_control is not None:
        tool["cache_control"] = function.cache_control
    return tool
