"""How a response is changed on its way to the client, because Claude or the API could not do what the client asked."""

from collections.abc import Mapping
from dataclasses import field

from dragoman.core.value_object import value_object


@value_object(kw_only=True)
class ResponseShaping:
    """What to change in a response.

    Attributes:
        json_only: Whether the text must be JSON. A code fence around it is removed.
        json_object: Whether that JSON must be an object. Words around a fence are removed, too.
        json_param: The client's field that asks for JSON.
        stop: Texts at which the response ends, which the API does not take as stop sequences.
        property_names: The client's names of arguments: by tool, by the name that Claude sees.
        for_program: Whether a program reads the text: then it gets no words of the gateway's own.
        warnings_in_text: Whether people see warnings, as a line in front of the text.
    """

    json_only: bool = False
    json_object: bool = False
    json_param: str = ""
    stop: tuple[str, ...] = ()
    property_names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    for_program: bool = False
    warnings_in_text: bool = False

    @property
    def changes_events(self) -> bool:
        """Whether anything of a response changes."""
        return self.json_only or self.warnings_in_text or bool(self.stop or self.property_names)


NO_SHAPING = ResponseShaping()
