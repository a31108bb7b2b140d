"""The unused processes: starts them, keeps some warm, and chooses one for a request."""

import asyncio
import pathlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from tempfile import TemporaryDirectory

from dragoman.backends.claude_code import protocol
from dragoman.backends.claude_code.doctor.checks import transcript_arrives
from dragoman.backends.claude_code.doctor.probe import CheckFailed, Probe, ScriptedApi, isolated_options
from dragoman.backends.claude_code.loopback_api import LoopbackApi
from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.claude_code.pool import PoolKey, Prompt, WarmPool
from dragoman.backends.claude_code.resume import FOLDER, TranscriptPipe
from dragoman.backends.claude_code.session import Session
from dragoman.backends.claude_code.transcript import Transcripts, TranscriptSeeds
from dragoman.backends.shared.child_process import ChildProcess
from dragoman.backends.shared.installation import launch, remove_stale_files
from dragoman.backends.shared.message_reader import without_deltas
from dragoman.backends.shared.process_guard import ProcessGuard
from dragoman.core import log
from dragoman.core.catalog import Catalog
from dragoman.core.errors import GatewayError, NotFound
from dragoman.core.events import Path
from dragoman.core.messages import JSON, JSONObject
from dragoman.core.model_list import ListedModel
from dragoman.core.supervise import SupervisedTask, describe, failures_in, failures_of
from dragoman.core.value_object import replace

_MIN_LONG = 20
"""Messages from which a conversation is replayed by transcript. Frames are quicker for less than some 11 messages. With
20 the gain is worth a process that must be replaced."""
_MIN_VERY_LONG = 100
"""Messages from which a new process with a transcript is as quick as a warm one that replays them by frames."""


class Processes:
    """Every process for conversations, from its start until it is reaped. Owns them.

    Attributes:
        sessions: The processes that run, used ones included.
        boots: How many were started.
        models: The models that the process booted last has listed.
        takes_transcripts: Whether a test showed that the runtime takes a conversation by transcript.
    """

    def __init__(
        self,
        options: ClaudeCodeOptions,
        environment: Mapping[str, str],
        work: pathlib.Path,
        guard: ProcessGuard,
        on_plan_limits: Callable[[JSON], None],
    ) -> None:
        """Prepare without starting anything.

        Args:
            options: The backend's options.
            environment: The environment of the processes.
            work: Their working directory.
            guard: Kills the processes if the gateway is killed.
            on_plan_limits: See `Session`.
        """
        self.sessions: set[Session] = set()
        self.boots = 0
        self.models: list[ListedModel] = []
        self.takes_transcripts = False
        self._options = options
        self._environment = environment
        self._work = work
        self._guard = guard
        self._on_plan_limits = on_plan_limits
        self._pool = WarmPool(self._boot, options.warm_processes, warm_up=self._warm_up)
        self._long_pool = WarmPool(self._boot, options.long_processes, name="runtime-long-pool")
        self._transcript_test = SupervisedTask(
            self._test_transcripts, name="runtime-transcripts", on_failure=_log_failed_test
        )
        self._transcripts = Transcripts(environment, owned=not options.signed_in and options.config_dir is None)
        self._seeds = TranscriptSeeds(options, work)

    def __len__(self) -> int:
        """Return the number of warm processes."""
        return len(self._pool) + len(self._long_pool)

    @property
    def failure(self) -> str | None:
        """Why no process can be booted; None if one can."""
        return self._pool.failure

    def failures(self) -> Mapping[str, str]:
        """Return why tasks failed; see `dragoman.core.supervise.ReportsFailures`."""
        return {**failures_in(self._transcript_test), **failures_of(self._pool, self._long_pool)}

    def start(self) -> None:
        """Begin to boot warm processes."""
        self._pool.start(self._key(self._options.default_model))
        if self._options.long_processes:
            self._transcript_test.start()

    def pause(self) -> None:
        """Discard all warm processes, and boot none until `resume`. `take` still boots."""
        self._pool.pause()
        self._long_pool.pause()

    def resume(self) -> None:
        """Boot warm processes again."""
        self._pool.resume()
        self._long_pool.resume()

    def touch(self) -> None:
        """Note that a request is served now: booting waits."""
        self._pool.touch()
        self._long_pool.touch()

    def delete_stale_files(self) -> None:
        """Delete what killed gateways left behind. Blocks."""
        remove_stale_files(self._options.state_dir / FOLDER)
        self._transcripts.delete_stale()

    async def aclose(self) -> None:
        """Kill and reap every process. Idempotent."""
        await self._transcript_test.aclose()
        await self._pool.aclose()
        await self._long_pool.aclose()
        for session in self.sessions:
            session.discard()
        if self.sessions:
            await asyncio.wait([session.exited for session in self.sessions])
        await asyncio.sleep(0)  # `_forget` runs for a process that was reaped just now
        await self._transcripts.aclose()

    async def take(self, model: str, prompt: Prompt, *, one_call: bool, count: int) -> tuple[Session, Path]:
        """Return an unused process, which is then the caller's.

        Args:
            model: The request's model.
            prompt: What the process will be initialized with. A warm process may be already.
            one_call: Whether the process must be one that can make only one API call.
            count: The number of messages; 0 to replay them by frames.

        Raises:
            GatewayError: No process could be booted.
        """
        self.touch()
        key = replace(self._key(model, one_call=one_call), prompt=prompt)
        if count >= _MIN_LONG:
            long_key = replace(key, model=None, by_transcript=True, prompt=None)
            if not one_call and (session := self._long_pool.take_warm(long_key)):
                return session, "resume"
            if count >= _MIN_VERY_LONG or not self._pool.has(key):
                try:
                    return await self._long_pool.boot(long_key), "resume"
                except (GatewayError, OSError) as error:  # replay by frames may still work
                    log.warning("runtime.boot_failed", error=describe(error))
        return await self._pool.take(key)

    async def reminders(self, model: str, session: Session) -> Sequence[JSONObject]:
        """Return the rows with which the transcript of a process must begin.

        Raises:
            UpstreamFailed: The runtime wrote none.
        """
        key = self._key(model)
        if session.transcript_pipe is None or key.model is None or key.day is None:
            return ()
        return await self._seeds.rows(key.model, key.day)

    def _key(self, model: str, *, one_call: bool = False) -> PoolKey:
        if not self._options.signed_in:
            return PoolKey(one_call)
        return PoolKey(one_call, model, datetime.now().astimezone().date())

    async def _boot(self, key: PoolKey) -> Session:
        """Start a process, and wait until it answers, or until it waits for a transcript."""
        pipe = TranscriptPipe(self._options.state_dir / FOLDER) if key.by_transcript else None
        try:
            process = await self._launch(key, pipe)
        except BaseException:
            if pipe is not None:
                pipe.abort()
            raise
        session = Session(
            process,
            silence=self._options.silence,
            base_url=self._options.base_url,
            transcript_pipe=pipe,
            on_plan_limits=self._on_plan_limits,
        )
        if self._options.trace:
            _trace_frames(process)
        self._own(session)
        try:
            if pipe is not None:
                await pipe.wait_until_opened(lambda: session.alive, self._options.boot_timeout)
                return session
            # The process answers once it has booted.
            self.models = _parse_models(await session.control("list_models", {}, self._options.boot_timeout))
        except BaseException:
            session.discard()
            raise
        return session

    async def _warm_up(self, key: PoolKey, session: Session) -> None:
        """Prepare a warm process for the likely request. It saves that request a quarter of its processor time."""
        prompt = key.prompt
        settings = prompt.settings if prompt else _likely_settings(key.model or self._options.default_model)
        try:
            await session.warm_up(settings, self._options.boot_timeout)
            if prompt is not None:
                await session.initialize({"systemPrompt": prompt.system}, [*prompt.tools], settings)
        except BaseException:
            session.discard()
            raise

    async def _launch(self, key: PoolKey, pipe: TranscriptPipe | None) -> ChildProcess:
        argv = [*protocol.arguments(one_call=key.one_call)]
        if pipe is not None:
            argv += pipe.arguments
        elif key.model is not None and key.day is not None:
            argv += await self._seeds.arguments(key.model, key.day)
        process = await launch(self._options, argv, self._environment, self._work)
        # Its environment is not logged: it holds the key.
        log.debug("runtime.started", pid=process.pid, argv=argv)
        process.on_stderr = lambda lines: log.debug("runtime.stderr", pid=process.pid, lines=lines)
        return process

    async def _test_transcripts(self) -> None:
        """Use transcripts if a test shows that this runtime takes them. Else replay message by message."""
        await self._pool.filled.wait()
        async with LoopbackApi() as api:
            scripted = ScriptedApi(api.url, lambda: api.bodies)
            with TemporaryDirectory(prefix="dragoman-", ignore_cleanup_errors=True) as scratch:
                isolated = isolated_options(self._options, scripted, pathlib.Path(scratch))
                probe = Probe(isolated, scripted, self._own)
                try:
                    await transcript_arrives(probe)
                except (CheckFailed, GatewayError) as error:
                    log.warning("runtime.no_transcripts", reason=str(error))
                    return
                finally:
                    await probe.aclose()
        self.takes_transcripts = True
        self._long_pool.start(replace(self._key(self._options.default_model), model=None, by_transcript=True))

    def _own(self, session: Session) -> None:
        """Guard and count a process until it is reaped."""
        self.sessions.add(session)
        self.boots += 1
        self._guard.add(session.pid)
        session.exited.add_done_callback(lambda _: self._forget(session))

    def _forget(self, session: Session) -> None:
        self.sessions.discard(session)
        self._guard.remove(session.pid)
        self._transcripts.process_ended(session.pid)


def _log_failed_test(error: Exception, pause: float) -> None:
    log.warning("runtime.no_transcripts", reason=describe(error), again_in=pause, exc_info=error)


def _trace_frames(process: ChildProcess) -> None:
    """Log every frame of a process that is listened to."""
    on_frame = process.on_frame

    def log_and_handle(frame: JSONObject) -> None:
        log.debug("runtime.message", level="trace", pid=process.pid, frame=without_deltas(frame))
        on_frame(frame)

    process.on_frame = log_and_handle


def _likely_settings(model: str) -> JSONObject:
    try:
        return protocol.settings_for({}, Catalog().resolve(model).model)
    except NotFound:
        # Only the provider's live list knows the model.
        return {"model": model}


def _parse_models(response: JSONObject) -> list[ListedModel]:
    """Return the ids of the listed models, once each. Their names may be "Default (recommended)"."""
    models = response.get("models")
    entries = [entry for entry in models if isinstance(entry, dict)] if isinstance(models, list) else []
    ids = (str(entry["resolvedModel"]) for entry in entries if entry.get("resolvedModel"))
    return [ListedModel(id_, "") for id_ in dict.fromkeys(ids)]
