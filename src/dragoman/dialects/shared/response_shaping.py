"""What the gateway itself does to a response, because the API does not do it."""

from dragoman.core.messages import MessagesRequest, RequestOptions
from dragoman.core.shaping import ResponseShaping
from dragoman.core.value_object import replace
from dragoman.dialects.shared.request_body import GenerationParams
from dragoman.dialects.shared.tools import Toolset


def with_shaping(
    options: RequestOptions, params: GenerationParams, tools: Toolset, body: MessagesRequest
) -> RequestOptions:
    """Return the options of a request with what must be done to its response.

    Args:
        options: The options.
        params: The client's parameters.
        tools: The tools.
        body: The body that was built from them.
    """
    given = [params.stop] if isinstance(params.stop, str) else params.stop or ()
    stop = tuple(dict.fromkeys(filter(str.isspace, given)))
    output_format = params.output_format
    if output_format is None:
        if not stop and not tools.renamed:
            return options
        return replace(options, shaping=ResponseShaping(stop=stop, property_names=tools.renamed))
    json_only = "format" not in body.get("output_config", {})
    shaping = ResponseShaping(
        json_only=json_only,
        json_object=json_only and output_format.is_object,
        json_param=output_format.param,
        stop=stop,
        property_names=tools.renamed,
        for_program=True,
    )
    return replace(options, shaping=shaping)
