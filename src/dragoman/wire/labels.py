"""`metadata` of the OpenAI dialects: a client's own words about an answer that is kept."""

from collections.abc import Mapping

from dragoman.errors import InvalidRequest
from dragoman.messages import JSON

_MOST = 16
_LONGEST_KEY = 64
_LONGEST_VALUE = 512


def labels(metadata: JSON, param: str) -> Mapping[str, str]:
    """The labels in it.

    Args:
        metadata: What the client sent.
        param: The field it came in.

    Raises:
        InvalidRequest: They are more, longer or other than OpenAI takes them.
    """
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise InvalidRequest(f"`{param}` must be an object of strings.", code="invalid_type", param=param)
    if len(metadata) > _MOST:
        raise InvalidRequest(f"`{param}` may have {_MOST} keys at most.", param=param)
    return {key: _label(key, value, f"{param}.{key[:_LONGEST_KEY]}") for key, value in metadata.items()}


def _label(key: str, value: JSON, param: str) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"`{param}` must be a string.", code="invalid_type", param=param)
    if len(key) > _LONGEST_KEY or len(value) > _LONGEST_VALUE:
        raise InvalidRequest(
            f"`{param}`: a key may have {_LONGEST_KEY} characters and a value {_LONGEST_VALUE}.", param=param
        )
    return value
