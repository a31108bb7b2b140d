"""The Anthropic backend on Bedrock and Vertex: calls, signatures, streams, errors, and refusals."""

import json
from pathlib import Path
from typing import cast

import pytest
from backend_harness import ask, user
from cloud_harness import aws_environment, bedrock, chunk, frame, vertex

from dragoman.backends.anthropic.clouds.backend import CloudBackend, CloudOptions
from dragoman.backends.anthropic.clouds.request import bedrock_id, vertex_id
from dragoman.backends.anthropic.options import AnthropicOptions
from dragoman.backends.base import RunRequest
from dragoman.core import errors
from dragoman.core.catalog import MODELS, Catalog
from dragoman.core.events import Event, Retrying
from dragoman.core.messages import MessagesRequest, RequestOptions
from dragoman.core.value_object import replace

PONG = "Reply with exactly: PONG"
EVENT_STREAM = {"content-type": "application/vnd.amazon.eventstream"}
JSON_BODY = {"content-type": "application/json"}


def request(text: str = PONG, model: str = "claude-sonnet-4-5", **body: object) -> RunRequest:
    """Return a request."""
    content = cast("MessagesRequest", {"model": model, "messages": [user(text)], **body})
    return RunRequest("run_test", Catalog().resolve(model).model, content)


@pytest.mark.parametrize("pieces", [1 << 20, 7], ids=["at once", "in pieces"])
async def test_bedrock_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pieces: int) -> None:
    """The model is in the path, the version in the body, the signature is valid, and frames arrive in any pieces."""
    async with bedrock(monkeypatch, tmp_path) as (backend, cloud):
        cloud.piece_size = pieces
        answer = await ask(backend, request())
        assert answer.text == "PONG"
        [sent] = cloud.received
        assert sent.target == "/model/global.anthropic.claude-sonnet-4-5-20250929-v1:0/invoke-with-response-stream"
        assert sent.body["anthropic_version"] == "bedrock-2023-05-31"
        assert sent.body.keys().isdisjoint({"model", "stream", "anthropic_beta"})
        assert backend.status()["authentication"] == "bedrock"
        assert (backend.status()["cloud"], backend.status()["region"]) == ("bedrock", "us-east-1")
        assert backend.status()["anthropic_version"] == "bedrock-2023-05-31"
        assert backend.ready() is None


async def test_vertex_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Project, region and model are in the path. One token serves all calls."""
    async with vertex(monkeypatch, tmp_path) as (backend, cloud):
        for _ in range(2):
            assert (await ask(backend, request())).text == "PONG"
        sent = cloud.received[-1]
        assert sent.target.endswith("/models/claude-sonnet-4-5@20250929:streamRawPredict")
        assert sent.body["anthropic_version"] == "vertex-2023-10-16"
        assert sent.body["stream"] is True
        assert "model" not in sent.body
        assert cloud.tokens == 1
        assert (backend.status()["authentication"], backend.status()["region"]) == ("vertex", "us-east5")


async def test_only_vertex_counts_tokens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Bedrock refuses with a code of its own."""
    async with vertex(monkeypatch, tmp_path) as (backend, cloud):
        assert cast("int", (await backend.count_tokens(request()))["input_tokens"]) > 0
        assert cloud.received[-1].body["model"] == "claude-sonnet-4-5@20250929"
    async with bedrock(monkeypatch, tmp_path) as (other, _):
        with pytest.raises(errors.UnsupportedFeature, match="Bedrock cannot count tokens") as caught:
            await other.count_tokens(request())
        assert caught.value.code == "cannot_count"


async def test_betas_and_versions_are_where_the_cloud_reads_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They are in the body on Bedrock, in a header on Vertex. A newer version that a client names is passed on."""
    request_options = RequestOptions(version="2026-10-21", betas=("one-2026-01-01", "two-2026-01-01"), verbatim=True)
    run_request = replace(request(max_tokens=100), request_options=request_options)
    async with bedrock(monkeypatch, tmp_path) as (backend, aws):
        assert (await ask(backend, run_request)).text == "PONG"
        assert aws.received[0].body["anthropic_beta"] == ["one-2026-01-01", "two-2026-01-01"]
        assert aws.received[0].body["anthropic_version"] == "2026-10-21"
    async with vertex(monkeypatch, tmp_path) as (backend, google):
        assert (await ask(backend, run_request)).text == "PONG"
        assert google.received[0].headers["anthropic-beta"] == "one-2026-01-01,two-2026-01-01"
        assert google.received[0].body["anthropic_version"] == "2026-10-21"


async def test_the_operator_may_set_model_ids(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """For example the ARN of an inference profile, which contains slashes."""
    arn = "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc"
    async with bedrock(monkeypatch, tmp_path, model_ids={"claude-sonnet-4-5": arn}) as (backend, cloud):
        with pytest.raises(errors.GatewayError):
            await ask(backend, request())
        assert cloud.received[0].target == f"/model/{arn.replace('/', '%2F')}/invoke-with-response-stream"


@pytest.mark.parametrize(
    ("model", "aws", "google"),
    [
        ("claude-opus-4-5", "claude-opus-4-5-20251101-v1:0", "claude-opus-4-5@20251101"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5@20251001"),
        ("claude-opus-4-6", "claude-opus-4-6-v1", "claude-opus-4-6"),
        ("claude-sonnet-4-6", "claude-sonnet-4-6", "claude-sonnet-4-6"),
        ("claude-opus-5-5", "claude-opus-5-5", "claude-opus-5-5"),
    ],
)
def test_ids(model: str, aws: str, google: str) -> None:
    """They are as in the provider's list."""
    assert bedrock_id(model) == f"global.anthropic.{aws}"
    assert vertex_id(model) == google


async def test_models_are_those_of_the_catalog(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The clouds have no list in the API's form."""
    async with bedrock(monkeypatch, tmp_path) as (backend, _):
        assert [model.id for model in await backend.models()] == [model.id for model in MODELS]


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (429, b'{"message":"Too many requests, please wait"}', errors.RateLimited, "Too many requests, please wait"),
        (400, b'{"message":"prompt is too long"}', errors.ContextTooLong, "too long"),
        (400, b'{"message":"The provided model identifier is invalid."}', errors.InvalidRequest, "identifier"),
        (403, b'{"message":"The security token is invalid."}', errors.NotSignedIn, "token is invalid.*AWS_ACCESS_KEY"),
        (404, b'{"message":"Model not found"}', errors.NotFound, "Model not found"),
        (503, b'{"Message":"Service unavailable"}', errors.Overloaded, "Service unavailable"),
    ],
)
async def test_errors_of_bedrock(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, body: bytes, kind: type[Exception], text: str
) -> None:
    """Errors in AWS's form map to the gateway's own."""
    async with bedrock(monkeypatch, tmp_path) as (backend, cloud):
        cloud.failures = [(status, JSON_BODY, body)] * 2
        with pytest.raises(kind, match=text):
            await ask(backend, request())


async def test_a_transient_failure_is_repeated_on_a_cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The backend repeats the call, as on the API itself."""
    async with vertex(monkeypatch, tmp_path) as (backend, cloud):
        cloud.failures = [(529, JSON_BODY, b'[{"error":{"code":529,"message":"busy"}}]')]
        events: list[Event] = []
        answer = await ask(backend, request(), events)
        assert answer.text == "PONG"
        assert [event.reason for event in events if isinstance(event, Retrying)] == ["status_529"]


@pytest.mark.parametrize(
    ("exception", "kind"),
    [
        ("throttlingException", errors.RateLimited),
        ("serviceUnavailableException", errors.Overloaded),
        ("modelTimeoutException", errors.TimedOut),
        ("validationException", errors.InvalidRequest),
        ("internalServerException", errors.UpstreamFailed),
        ("unknownException", errors.UpstreamFailed),
    ],
)
async def test_exceptions_in_a_stream_of_bedrock(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, exception: str, kind: type[Exception]
) -> None:
    """Their frames are exceptions."""
    headers = {":exception-type": exception, ":content-type": "application/json", ":message-type": "exception"}
    async with bedrock(monkeypatch, tmp_path) as (backend, cloud):
        cloud.failures = [(200, EVENT_STREAM, frame(headers, b'{"message":"The model failed"}'))] * 2
        with pytest.raises(kind, match="The model failed"):
            await ask(backend, request())


async def test_an_error_frame_of_bedrock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An error frame has no payload."""
    headers = {":error-code": "InternalFailure", ":error-message": "Broken inside", ":message-type": "error"}
    async with bedrock(monkeypatch, tmp_path) as (backend, cloud):
        cloud.failures = [(200, EVENT_STREAM, frame(headers, b""))] * 2
        with pytest.raises(errors.UpstreamFailed, match="Broken inside"):
            await ask(backend, request())


@pytest.mark.parametrize(
    "stream",
    [
        chunk(b"{}")[:-1] + b"\x00",
        b"this is not a binary frame",
        frame({":event-type": "chunk", ":message-type": "event"}, b"no JSON"),
        chunk(b"no JSON"),
    ],
    ids=["checksum", "garbage", "payload", "event"],
)
async def test_an_invalid_stream(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stream: bytes) -> None:
    """The client gets a sentence, and no traceback."""
    async with bedrock(monkeypatch, tmp_path) as (backend, cloud):
        cloud.failures = [(200, EVENT_STREAM, stream)] * 2
        with pytest.raises(errors.UpstreamFailed, match=r"could not be read|broke off"):
            await ask(backend, request())


async def test_frames_without_an_event_are_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """New types of frames may be added."""
    async with bedrock(monkeypatch, tmp_path) as (backend, cloud):
        await ask(backend, request())
        start = json.dumps({"type": "message_start", "message": {"id": "m", "content": [], "usage": {}}}).encode()
        other = frame({":event-type": "initial-response", ":message-type": "event"}, b"{}")
        delta = b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{}}'
        stream = other + chunk(start) + chunk(delta) + chunk(b'{"type":"message_stop"}')
        cloud.failures = [(200, EVENT_STREAM, stream)]
        answer = await ask(backend, request())
        assert answer.text == ""


async def test_a_refused_token_is_renewed_and_the_call_repeated_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A second refusal is an error with advice."""
    refused = (401, JSON_BODY, b'{"error":{"code":401,"message":"Request had invalid authentication credentials."}}')
    async with vertex(monkeypatch, tmp_path) as (backend, cloud):
        cloud.failures = [refused]
        assert (await ask(backend, request())).text == "PONG"
        assert (cloud.tokens, len(cloud.received)) == (2, 2)
        cloud.failures = [refused, refused]
        with pytest.raises(errors.NotSignedIn, match=r"Vertex refuses.*gcloud auth application-default login"):
            await ask(backend, request())


WEB_SEARCH = {"type": "web_search_20260101", "name": "web_search"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": [{"name": "own", "input_schema": {}}, WEB_SEARCH]}, "tools[1]"),
        ({"tools": [{"type": "code_execution_20260101", "name": "code_execution"}]}, "tools[0]"),
        ({"mcp_servers": [{"url": "https://a.example"}]}, "mcp_servers"),
        ({"speed": "fast"}, "speed"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "u"}}]}]},
            "messages[0].content[0]",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "container_upload", "file_id": "f"}]}]},
            "messages[0].content[0]",
        ),
    ],
)
async def test_unsupported_features_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: dict[str, object], param: str
) -> None:
    """The refusal comes before the call."""
    async with bedrock(monkeypatch, tmp_path) as (backend, cloud):
        with pytest.raises(errors.UnsupportedFeature, match="Claude on Bedrock has no") as caught:
            await ask(backend, request(**body))  # type: ignore[arg-type]
        assert caught.value.param == param
        assert cloud.received == []


async def test_vertex_searches_the_web(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Bedrock has no web search."""
    async with vertex(monkeypatch, tmp_path) as (backend, cloud):
        tool = {"type": "web_search_20250305", "name": "web_search"}
        await ask(backend, request('Search the web for "dragoman"', tools=[tool]))
        assert cloud.received[0].body["tools"] == [tool]


async def test_bedrock_without_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each run fails with advice, and the operator sees why."""
    aws_environment(monkeypatch, tmp_path)
    backend = CloudBackend(AnthropicOptions(retries=0), CloudOptions(kind="bedrock", region="eu-west-3"))
    await backend.start()
    with pytest.raises(errors.NotSignedIn, match="AWS_ACCESS_KEY_ID"):
        await ask(backend, request())
    assert "No credentials were found for Claude on Bedrock" in (backend.ready() or "")
    await backend.aclose()
    without_region = CloudBackend(AnthropicOptions(retries=0), CloudOptions(kind="bedrock"))
    with pytest.raises(errors.NotSignedIn, match=r"No region was named.*AWS_REGION"):
        await ask(without_region, request())
    await without_region.aclose()


async def test_vertex_without_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error contains advice."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    monkeypatch.delenv("CLOUD_ML_REGION", raising=False)
    backend = CloudBackend(AnthropicOptions(retries=0), CloudOptions(kind="vertex", region="us-east5", project="p"))
    with pytest.raises(errors.NotSignedIn, match="gcloud auth application-default login"):
        await ask(backend, request())
    await backend.aclose()
