"""A question as each cloud takes it: the model in the path, the version in the body."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal
from urllib.parse import quote

from dragoman.backends.api.call import API_VERSION, Call, encoded, needed_betas
from dragoman.backends.api.clouds.ids import bedrock_id, vertex_id
from dragoman.backends.base import RunRequest
from dragoman.messages import JSONObject, as_sent


@dataclass(frozen=True, slots=True)
class Where:
    """What is known once there are credentials.

    Attributes:
        region: The cloud's region.
        project: The Google Cloud project.
    """

    region: str
    project: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """What the clouds have in common.

    Attributes:
        model_ids: What it calls models, where that is not what it usually is.
        version: Its own version of the API.
    """

    model_ids: Mapping[str, str]
    version: ClassVar[str]

    def _named(self, request: RunRequest, usual: Callable[[str], str]) -> str:
        return self.model_ids.get(request.model.id) or usual(request.model.id)

    def _versioned(self, request: RunRequest, body: JSONObject) -> JSONObject:
        """The body with the cloud's own version, or the newer one of the API that a client speaks."""
        asked = request.terms.version
        version = self.version if asked is None or asked == API_VERSION else asked
        return {"anthropic_version": version, **body}


class Bedrock(_Shape):
    """Amazon Bedrock, by its InvokeModel API."""

    __slots__ = ()
    title: ClassVar[str] = "Bedrock"
    version: ClassVar[str] = "bedrock-2023-05-31"
    kind: ClassVar[Literal["bedrock"]] = "bedrock"
    stream_type: ClassVar[str] = "application/vnd.amazon.eventstream"

    def call(self, request: RunRequest, body: JSONObject, where: Where) -> Call:  # noqa: ARG002 - its address says it
        """The call that asks a question; the answer is streamed."""
        model = self._named(request, bedrock_id)
        betas = needed_betas(request)
        made = self._versioned(request, _bare(body))
        if betas:
            made["anthropic_beta"] = [*betas]
        # A model may be named by its ARN, whose slashes are part of the name.
        target = f"/model/{quote(model, safe=':')}/invoke-with-response-stream"
        return Call(target.encode(), API_VERSION, (), encoded(made))


class Vertex(_Shape):
    """Google Cloud's Vertex AI."""

    __slots__ = ()
    title: ClassVar[str] = "Vertex"
    version: ClassVar[str] = "vertex-2023-10-16"
    kind: ClassVar[Literal["vertex"]] = "vertex"
    stream_type: ClassVar[str] = "text/event-stream"

    def call(self, request: RunRequest, body: JSONObject, where: Where) -> Call:
        """The call that asks a question; the answer is streamed."""
        model = quote(self._named(request, vertex_id), safe="@:")
        made = self._versioned(request, {**_bare(body), "stream": True})
        return self._at(f"{model}:streamRawPredict", request, made, where)

    def count_call(self, request: RunRequest, where: Where) -> Call:
        """The call that has a question's tokens counted."""
        made = self._versioned(request, {**as_sent(request.body), "model": self._named(request, vertex_id)})
        return self._at("count-tokens:rawPredict", request, made, where)

    def _at(self, what: str, request: RunRequest, body: JSONObject, where: Where) -> Call:
        place = f"/projects/{quote(where.project or '', safe='')}/locations/{quote(where.region, safe='')}"
        target = f"{place}/publishers/anthropic/models/{what}"
        return Call(target.encode(), API_VERSION, needed_betas(request), encoded(body))


def _bare(body: JSONObject) -> JSONObject:
    return {key: value for key, value in body.items() if key not in {"model", "stream"}}
