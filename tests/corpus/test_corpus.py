"""Every case of the corpus, on both backends. The README describes how to add one."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from corpus_cases import load_cases
from corpus_gateway import CorpusGateway, corpus_gateway
from corpus_runner import CaseRun

pytestmark = pytest.mark.asyncio(loop_scope="module")

CASES = load_cases()
ON_API = [(name, model) for name, case in CASES.items() if "api" in case.backends for model in case.models]
ON_RUNTIME = [(name, case.models[0]) for name, case in CASES.items() if "runtime" in case.backends]

_ACCOUNT = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "CLAUDE_CONFIG_DIR")


@pytest.fixture(scope="module", autouse=True)
def no_account_in_module() -> Iterator[None]:
    """Remove the credentials of a real account before the shared gateways read the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in _ACCOUNT:
            patch.delenv(name, raising=False)
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[CorpusGateway]:
    """Yield the gateway that all cases on the API backend share."""
    async with corpus_gateway("api", tmp_path_factory.mktemp("api")) as gateway:
        yield gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runtime(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[CorpusGateway]:
    """Yield the gateway that all cases on the runtime backend share."""
    async with corpus_gateway("runtime", tmp_path_factory.mktemp("runtime")) as gateway:
        yield gateway


@pytest.mark.parametrize(("name", "model"), ON_API)
async def test_case_on_the_api_backend(api: CorpusGateway, name: str, model: str) -> None:
    """The client gets what the case says, plain and streamed, and exactly that reaches the API."""
    await CaseRun(api, CASES[name].on("api"), model).run()


@pytest.mark.parametrize(("name", "model"), ON_RUNTIME)
async def test_case_on_the_runtime_backend(runtime: CorpusGateway, name: str, model: str) -> None:
    """The same, in a new process that the conversation is replayed into, and in the process that holds it."""
    await CaseRun(runtime, CASES[name].on("runtime"), model).run()
