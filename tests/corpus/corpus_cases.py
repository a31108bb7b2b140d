"""The cases of the corpus: one JSON file each, in `cases/`. The README describes the fields."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import msgspec

from dragoman.dialects.shared.json_types import JSON, JSONObject
from dragoman.simulator.faults import Fault

FOLDER = Path(__file__).parent / "cases"

_EACH_GENERATION = ("claude-opus-5", "claude-sonnet-4-5", "claude-opus-5-5")
_BACKENDS = ("api", "runtime")


class CorpusRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What the client sends: a path below the gateway's address, and a JSON body or a raw one.

    Attributes:
        path: The path, with its query.
        body: The JSON body. It gets the case's model, unless it names one.
        raw: The body as text, for bodies that are not JSON. `MODEL` in it becomes the case's model.
        headers: The headers, in addition to the content type.
        streams: Whether the request is also sent as a stream.
    """

    path: str
    body: JSONObject | None = None
    raw: str | None = None
    headers: dict[str, str] = {}
    streams: bool = True


class CorpusAnswer(msgspec.Struct, forbid_unknown_fields=True):
    """What the client must get.

    Attributes:
        status: The HTTP status.
        body: Parts of the JSON body. See `corpus_match`.
        warnings: Every warning, as `code:param`.
        headers: Parts of the headers.
    """

    status: int = 200
    body: JSON = None
    warnings: list[str] = []
    headers: dict[str, JSON] = {}


class EarlierRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A request that comes before that of the case, and how Claude answers it."""

    request: CorpusRequest
    claude: list[JSONObject] | Fault = []


class Case(msgspec.Struct, forbid_unknown_fields=True):
    """A case.

    Attributes:
        title: What the case shows, in one sentence.
        request: What the client sends.
        api: Parts of the body that must reach the API; None: nothing may reach it.
        answer: What the client must get.
        note: Who sends this, and why it is not obvious.
        models: The models. The runtime backend runs the first one only.
        backends: The backends.
        claude: How Claude answers: content blocks, or a fault of the simulator. Empty: as the simulator chooses.
        before: Requests that come first, in order.
        calls: The number of calls to the API.
        live: Whether a live process of the runtime can continue the conversation.
        runtime: Fields of `api` and `answer` that differ on the runtime backend.
    """

    title: str
    request: CorpusRequest
    api: JSONObject | None
    answer: CorpusAnswer
    note: str = ""
    models: tuple[str, ...] = _EACH_GENERATION
    backends: tuple[str, ...] = _BACKENDS
    claude: list[JSONObject] | Fault = []
    before: list[EarlierRequest] = []
    calls: int = 1
    live: bool = True
    runtime: dict[str, JSONObject] = {}

    def on(self, backend: str) -> "Case":
        """Return the case as it is on a backend."""
        if backend != "runtime" or not self.runtime:
            return self
        answer = cast("JSONObject", msgspec.to_builtins(self.answer)) | self.runtime.get("answer", {})
        api = None if self.api is None else self.api | self.runtime.get("api", {})
        return msgspec.structs.replace(self, api=api, answer=msgspec.convert(answer, CorpusAnswer))


def load_cases() -> Mapping[str, Case]:
    """Return all cases by the names of their files."""
    return {path.stem: _load(path) for path in sorted(FOLDER.glob("*.json"))}


def fault_of(claude: list[JSONObject] | Fault) -> Fault | None:
    """Return the fault that makes the simulator answer as a case says; None if the simulator chooses."""
    if isinstance(claude, Fault):
        return claude
    return Fault(content=claude) if claude else None


def _load(path: Path) -> Case:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Case)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path.name}: {error}") from None
