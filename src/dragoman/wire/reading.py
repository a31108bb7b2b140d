"""Steps of reading a request that the OpenAI dialects share."""

import msgspec

from dragoman.catalog import Catalog, Resolved
from dragoman.errors import InvalidRequest, UnsupportedFeature
from dragoman.messages import JSON
from dragoman.notices import Notice
from dragoman.wire import validation
from dragoman.wire.options import WireOptions


def note_unknown(data: JSON, request: msgspec.Struct, options: WireOptions, notices: list[Notice]) -> None:
    """Say which fields nothing is known of, each name once.

    Raises:
        InvalidRequest: `unknown_parameter`, where the operator wants none.
    """
    said: set[str] = set()
    for path in validation.unknown_fields(data, request):
        name = path.rpartition(".")[2]
        if options.strict_parameters:
            raise InvalidRequest(f"Unknown parameter: `{path}`.", code="unknown_parameter", param=path)
        if name not in said:
            notices.append(Notice("ignored", path, "The gateway does not know this field."))
        said.add(name)


def resolve(asked: str | None, catalog: Catalog, notices: list[Notice]) -> Resolved:
    """Find the model.

    Raises:
        NotFound: There is none of that name.
    """
    resolved = catalog.resolve(asked)
    if resolved.successor_of:
        detail = f"`{resolved.successor_of}` was retired; `{resolved.model.id}` answers in its place."
        notices.append(Notice("mapped", "model", detail))
    return resolved


def refuse_mapped(options: WireOptions, notices: list[Notice]) -> None:
    """Refuse approximations where the operator wants none. A retired model is mapped only where they said so.

    Raises:
        UnsupportedFeature: Names the first field that was mapped.
    """
    if not options.strict_mapping:
        return
    for notice in notices:
        if notice.code == "mapped" and notice.param != "model":
            raise UnsupportedFeature(notice.detail, param=notice.param)
