"""Values by which clients say "not set" where the field itself should be left out."""

from collections.abc import Collection, Mapping

from dragoman.core.messages import JSON
from dragoman.core.warnings import RequestWarning

_UNSET_VALUES: Mapping[str, tuple[JSON, ...]] = {
    "top_k": (-1,),
    "max_tokens": (-1,),
    "max_completion_tokens": (-1,),
    "max_output_tokens": (-1,),
    "tool_choice": ("",),
    "function_call": ("",),
    "reasoning_effort": ("",),
    "verbosity": ("",),
    "response_format": ("", {}),
}
"""Local model servers use -1 for "off" and "no limit"; forms send what was left empty."""


def without_unset_values(
    data: JSON, warnings: list[RequestWarning], names: Collection[str] = _UNSET_VALUES.keys()
) -> JSON:
    """Return a request without the fields whose value means that they are not set, and warn of each.

    Args:
        data: The parsed request.
        warnings: Receives the warnings.
        names: The fields that may be left out.
    """
    if not isinstance(data, dict):
        return data
    unset = [name for name in names if name in data and data[name] in _UNSET_VALUES[name]]
    if not unset:
        return data
    warnings += [
        RequestWarning("ignored", name, "This value means `not set`; the field was left out.") for name in unset
    ]
    return {name: value for name, value in data.items() if name not in unset}
