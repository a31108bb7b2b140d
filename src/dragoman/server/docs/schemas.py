"""The types of responses, as the OpenAPI document describes them. Clients may rely on these fields; more may come.

They are for documentation only: responses are encoded by the dialects.
"""

from typing import Any, Literal

from msgspec import Struct

JSONObject = dict[str, Any]
"""A JSON object whose fields the document does not list."""


class Usage(Struct):
    """Token counts in OpenAI's form."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ResponseMessage(Struct):
    """The message of a chat completion."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None


class ChatChoice(Struct):
    """One choice of a chat completion."""

    index: int
    message: ResponseMessage
    finish_reason: str


class ChatCompletion(Struct):
    """A chat completion."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class ChatChunkChoice(Struct):
    """One choice of a chunk."""

    index: int
    delta: JSONObject
    finish_reason: str | None


class ChatCompletionChunk(Struct):
    """A chunk of a streamed chat completion."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChatChunkChoice]


class TextChoice(Struct):
    """One choice of a text completion."""

    index: int
    text: str
    finish_reason: str | None


class TextCompletion(Struct):
    """A text completion, or a chunk of one."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]


class Response(Struct):
    """A response."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["completed", "incomplete", "in_progress", "queued", "failed", "cancelled"]
    model: str
    output: list[JSONObject]


class ResponseStreamEvent(Struct):
    """An event of a streamed response."""

    type: str
    sequence_number: int


class InputTokens(Struct):
    """The number of input tokens of a request for a response."""

    object: Literal["response.input_tokens"]
    input_tokens: int


class Compaction(Struct):
    """A conversation, compacted."""

    id: str
    object: Literal["response.compaction"]
    created_at: int
    output: list[JSONObject]
    usage: JSONObject


class List(Struct):
    """A page of a list."""

    object: Literal["list"]
    data: list[JSONObject]
    has_more: bool
    first_id: str
    last_id: str


class Deleted(Struct):
    """Confirms a deletion."""

    object: str
    id: str
    deleted: Literal[True]


class CompletionMetadata(Struct):
    """The new metadata of a stored completion."""

    metadata: dict[str, str]


class Embedding(Struct):
    """One vector: numbers, or base64 of little-endian float32 values."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Struct):
    """Token counts of an embeddings request."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Struct):
    """The vectors of all inputs, in order."""

    object: Literal["list"]
    model: str
    data: list[Embedding]
    usage: EmbeddingUsage


class Model(Struct):
    """A model, or an alias of one."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(Struct):
    """All models and aliases."""

    object: Literal["list"]
    data: list[Model]


class MessagesRequest(Struct):
    """A request of Anthropic's Messages API. All further fields are passed on."""

    model: str
    messages: list[JSONObject]


class Message(Struct):
    """A message of Anthropic's Messages API."""

    id: str
    type: Literal["message"]
    content: list[JSONObject]


class MessageTokens(Struct):
    """The number of input tokens of a Messages API request."""

    input_tokens: int


class MessagesErrorDetail(Struct):
    """What went wrong, in Anthropic's form."""

    type: str
    message: str


class MessagesError(Struct):
    """An error in Anthropic's form."""

    type: Literal["error"]
    error: MessagesErrorDetail


class ErrorDetail(Struct):
    """What went wrong, in OpenAI's form."""

    message: str
    type: str
    param: str | None
    code: str | None


class Error(Struct):
    """An error in OpenAI's form."""

    error: ErrorDetail


class Health(Struct):
    """Whether the gateway runs, or is ready."""

    status: str


class RunWarning(Struct):
    """What could not be done as a request asked."""

    code: str
    param: str
    detail: str


class RunCacheUse(Struct):
    """What a run has read from Claude's cache, and why not more."""

    reason: str | None
    part: str | None
    read: int
    expected: int | None
    age: float | None
    detail: str | None = None


class Run(Struct):
    """One run."""

    id: str
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    model: str
    client: str
    created: float
    stages: dict[str, float]
    request_id: str | None = None
    path: str | None = None
    upstream: str | None = None
    endpoint: str | None = None
    ended: float | None = None
    usage: JSONObject | None = None
    cost: float | None = None
    error: str | None = None
    reason: str | None = None
    warnings: list[RunWarning] = []
    cache: RunCacheUse | None = None
    costs: dict[str, float] = {}


class RunList(Struct):
    """A page of runs, newest first."""

    runs: list[Run]
    more: bool


class Status(Struct):
    """The state of the gateway, for its operator."""

    status: Literal["ready", "not_ready"]
    version: str
    python: str
    pid: int
    uptime: float
    runs: dict[str, int]
    last: JSONObject
    backend: JSONObject
    reason: str | None = None
    simulator: str | None = None


class Setting(Struct):
    """A setting. Of a secret, the value is whether it is set."""

    name: str
    group: str
    value: Any
    default: bool
    secret: bool
    description: str


class SettingList(Struct):
    """The effective settings."""

    settings: list[Setting]


class Worker(Struct):
    """A process of a node."""

    worker: int
    pid: int
    uptime: float
    ready: bool
    reason: str | None
    running: int
    places: int
    queued: int
    queue_size: int
    backend: str
    processes: dict[str, int] | None = None
    upstreams: dict[str, JSONObject] | None = None


class Node(Struct):
    """A gateway on a machine. `here`: the one that answers. A node that does not answer has no workers."""

    name: str
    here: bool
    version: str
    draining: bool
    workers: list[Worker]


class NodeList(Struct):
    """The nodes of the gateway."""

    nodes: list[Node]


class PlanWindow(Struct):
    """A limit of a plan: the used share, and when it resets, in seconds since 1970."""

    name: str
    status: str | None
    used: float | None
    resets: float | None


class Plan(Struct):
    """The limits of the plan of a signed-in account. `reported`: when the runtime reported them."""

    upstream: str | None
    status: str | None
    reported: float | None
    windows: list[PlanWindow]


class PlanList(Struct):
    """The plans of all signed-in accounts."""

    plans: list[Plan]


class AdminErrorDetail(Struct):
    """What went wrong, in the form of the admin API."""

    code: str | None
    message: str
    param: str | None
    request_id: str | None


class AdminError(Struct):
    """An error of the admin API."""

    error: AdminErrorDetail
