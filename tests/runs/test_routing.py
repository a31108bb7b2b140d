"""Which upstream is used, when another one is tried, and that conversations stay."""

import pytest
from routing_fakes import CountingBackend, FakeBackend, Routed, assistant, execute, request, user

from dragoman.core.errors import (
    Forbidden,
    GatewayError,
    InvalidRequest,
    NotFound,
    NotSignedIn,
    Overloaded,
    QuotaExceeded,
    RateLimited,
    TimedOut,
    UnsupportedFeature,
    UpstreamFailed,
)
from dragoman.core.messages import AgentTask, RequestOptions
from dragoman.core.value_object import replace
from dragoman.routing.upstream import serves
from dragoman.runs.run import Run

UPSTREAM_ERRORS = [
    RateLimited("slow down", retry_after=3),
    QuotaExceeded("no credit"),
    Overloaded("busy"),
    UpstreamFailed("refused"),
    TimedOut("silent"),
    NotSignedIn("bad key"),
]


def two(**first: object) -> dict[str, FakeBackend]:
    """Return two fake backends."""
    return {"one": FakeBackend(**first), "two": FakeBackend()}  # type: ignore[arg-type]


async def test_the_first_upstream_in_order_is_used() -> None:
    """The run knows its name."""
    routed = Routed(two())
    run = await execute(await routed.router())
    assert run.upstream == "one"
    assert routed.request_counts() == [1, 0]


@pytest.mark.parametrize("failure", UPSTREAM_ERRORS, ids=lambda failure: type(failure).__name__)
async def test_the_next_upstream_is_used_if_the_first_cannot_answer(failure: GatewayError) -> None:
    """The client gets one response, and the name of its upstream."""
    routed = Routed(two(failure=failure))
    run = await execute(await routed.router())
    assert run.upstream == "two"
    assert run.result().message["content"] == [{"type": "text", "text": "Hi"}]


@pytest.mark.parametrize("failure", UPSTREAM_ERRORS, ids=lambda failure: type(failure).__name__)
async def test_without_fallback_no_other_upstream_is_used(failure: GatewayError) -> None:
    """The client gets the error."""
    routed = Routed(two(failure=failure), fallback=False)
    with pytest.raises(type(failure)):
        await execute(await routed.router())
    assert routed.request_counts() == [1, 0]


async def test_an_invalid_request_is_not_sent_to_another_upstream() -> None:
    """Another upstream would reject it too. It does not count as a failure of the first."""
    routed = Routed(two(failure=InvalidRequest("bad")))
    router = await routed.router()
    with pytest.raises(InvalidRequest):
        await execute(router)
    assert routed.request_counts() == [1, 0]
    assert routed.upstreams["one"].breaker.failures == 0


async def test_after_the_first_output_no_other_upstream_is_used() -> None:
    """The client has seen a part of a response. The upstream still gets a pause."""
    routed = Routed(two(breaks=UpstreamFailed("broke off")))
    router = await routed.router()
    run = Run("me", "m")
    with pytest.raises(UpstreamFailed, match="broke off"):
        await router.execute(request(), run)
    assert run.has_output
    assert routed.request_counts() == [1, 0]
    assert routed.upstreams["one"].breaker.remaining == 5


async def test_if_all_upstreams_fail_the_first_error_is_raised_with_the_shortest_wait() -> None:
    """The error is that of the conversation's home. The upstreams' own errors are not changed."""
    first = RateLimited("a", retry_after=30)
    routed = Routed({"one": FakeBackend(failure=first), "two": FakeBackend(failure=RateLimited("b", retry_after=4))})
    with pytest.raises(RateLimited, match="a") as caught:
        await execute(await routed.router())
    assert caught.value.retry_after == 4
    assert first.retry_after == 30
    assert routed.request_counts() == [1, 1]


async def test_an_upstream_gets_no_runs_during_its_pause() -> None:
    """New conversations go to the next one at once."""
    routed = Routed(two(failure=Overloaded("busy")))
    router = await routed.router()
    await execute(router, request(user("a")))
    await execute(router, request(user("b")))
    assert routed.request_counts() == [1, 2]
    routed.clock.now += 5
    routed.fakes["one"].failure = None
    assert (await execute(router, request(user("c")))).upstream == "one"
    assert routed.upstreams["one"].breaker.failures == 0


async def test_a_conversation_stays_at_the_upstream_that_it_moved_to() -> None:
    """Also when its first upstream is healthy again. Other conversations go there."""
    routed = Routed(two(failure=Overloaded("busy")))
    router = await routed.router()
    await execute(router, request(user("a")))
    routed.clock.now += 100
    routed.fakes["one"].failure = None
    assert (await execute(router, request(user("a"), assistant(), user("more")))).upstream == "two"
    assert (await execute(router, request(user("b")))).upstream == "one"


async def test_upstreams_of_the_same_order_share_the_conversations_and_each_stays() -> None:
    """The first message decides, so every turn and every start lead to the same upstream."""
    homes = []
    for _ in range(2):
        routed = Routed({name: FakeBackend() for name in ("one", "two", "three")})
        for name in routed.fakes:
            routed.add(name, order=1)
        router = await routed.router()
        turns = [
            [await execute(router, request(user(f"{number}"), *more)) for more in ([], [assistant(), user("and?")])]
            for number in range(30)
        ]
        homes.append([[run.upstream for run in turn] for turn in turns])
        assert min(routed.request_counts()) > 0
    assert homes[0] == homes[1]
    assert all(first == second for first, second in homes[0])


async def test_if_all_upstreams_pause_the_one_with_the_shortest_pause_is_used() -> None:
    """A pause moves runs to other upstreams, and refuses none."""
    routed = Routed(
        {"one": FakeBackend(failure=Overloaded("a", retry_after=50)), "two": FakeBackend(failure=Overloaded("b"))}
    )
    router = await routed.router()
    with pytest.raises(Overloaded):
        await execute(router)
    routed.fakes["two"].failure = None
    assert (await execute(router)).upstream == "two"


@pytest.mark.parametrize(
    ("model", "upstream"), [("claude-haiku-5-5", "small"), ("claude-opus-5-5", "large"), ("claude-sonnet-5-5", "rest")]
)
async def test_upstreams_serve_their_models(model: str, upstream: str) -> None:
    """An upstream without patterns serves every model."""
    routed = Routed({name: FakeBackend() for name in ("small", "large", "rest")})
    routed.add("small", models=["claude-haiku-*"]).add("large", models=["claude-opus-5-5", "claude-opus-5"])
    assert (await execute(await routed.router(), request(model=model))).upstream == upstream


@pytest.mark.parametrize(
    ("patterns", "model", "served"),
    [
        ([], "claude-anything", True),
        (["claude-haiku-4-5"], "claude-haiku-4-5-20251001", True),
        (["claude-haiku-4-5-20251001"], "claude-haiku-4-5", False),
        (["claude-haiku-*"], "claude-haiku-9", True),
        (["claude-haiku-4-5"], "claude-haiku-5-5", False),
    ],
)
def test_patterns_of_models(patterns: list[str], model: str, served: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """An id without a date matches all its dated versions; an id with a date matches that version alone."""
    assert serves(patterns, model) is served


async def test_a_model_that_no_upstream_serves_is_not_found() -> None:
    """The error names it."""
    routed = Routed({"small": FakeBackend()}).add("small", models=["claude-haiku-*"])
    with pytest.raises(NotFound, match="claude-opus-5-5") as caught:
        await execute(await routed.router())
    assert caught.value.code == "model_not_found"


async def test_thinking_is_not_sent_to_another_upstream() -> None:
    """Models that bind thinking would reject it. The client is warned, also on later turns at the new upstream."""
    thought = assistant({"type": "thinking", "thinking": "Hm", "signature": "one's"}, {"type": "text", "text": "Hi"})
    routed = Routed(two())
    router = await routed.router()
    request_ = request(user("a"), thought, user("more"))
    await execute(router, request_)
    assert routed.fakes["one"].requests[-1].body["messages"][1] == thought
    routed.fakes["one"].failure = Overloaded("busy")
    for _ in range(2):
        run = await execute(router, request_)
        assert run.upstream == "two"
        assert routed.fakes["two"].requests[-1].body["messages"][1] == assistant()
        assert [warning.code for warning in run.warnings] == ["left_out"]
    assert request_.body["messages"][1] == thought


async def test_a_request_whose_thinking_is_rejected_is_repeated_once_without_it() -> None:
    """After a restart the router does not know where the conversation was. Later turns do."""
    rejection = InvalidRequest("messages.1.content.0: The block is bound to a different conversation.")
    routed = Routed({"one": FakeBackend(rejects_thinking=rejection), "two": FakeBackend()})
    router = await routed.router()
    thought = assistant({"type": "thinking", "thinking": "Hm", "signature": "two's"}, {"type": "text", "text": "Hi"})
    request_ = request(user("a"), thought, user("more"))
    for attempts in (2, 1):
        run = await execute(router, request_)
        assert (run.upstream, [warning.code for warning in run.warnings]) == ("one", ["left_out"])
        assert len(routed.fakes["one"].requests) == attempts
        routed.fakes["one"].requests.clear()
    routed.fakes["one"].rejects_thinking = InvalidRequest("something else")
    with pytest.raises(InvalidRequest, match="something else"):
        await execute(router, request(user("b"), thought, user("more")))


async def test_thinking_that_is_not_bound_is_sent_to_another_upstream() -> None:
    """Older models accept signatures of other accounts."""
    thought = assistant({"type": "thinking", "thinking": "Hm", "signature": "s"}, {"type": "text", "text": "Hi"})
    routed = Routed(two(failure=Overloaded("busy")))
    run = await execute(await routed.router(), request(user("a"), thought, user("more"), model="claude-sonnet-4-5"))
    assert routed.fakes["two"].requests[-1].body["messages"][1] == thought
    assert run.warnings == ()


async def test_requests_of_the_messages_api_fall_back_unchanged() -> None:
    """The next upstream gets what the client sent."""
    routed = Routed(two(failure=Overloaded("busy")))
    request_ = request()
    verbatim = replace(request_, request_options=replace(request_.request_options, verbatim=True))
    assert (await execute(await routed.router(), verbatim)).upstream == "two"
    assert routed.fakes["two"].requests == [verbatim]


async def test_models_are_listed_once_and_only_if_served() -> None:
    """An upstream without a list does not hide the models of the others."""
    routed = Routed(
        {
            "one": FakeBackend(listed=["claude-opus-5", "claude-haiku-5-5"]),
            "two": FakeBackend(listed=["claude-opus-5", "claude-sonnet-5"]),
            "none": FakeBackend(),
        }
    ).add("one", models=["claude-opus-*"])
    listed = await (await routed.router()).models()
    assert [model.id for model in listed] == ["claude-opus-5", "claude-sonnet-5"]


async def test_if_no_upstream_has_a_list_the_first_error_is_raised() -> None:
    """There is nothing to list."""
    with pytest.raises(NotSignedIn):
        await (await Routed(two()).router()).models()


async def test_the_home_of_the_conversation_counts_tokens() -> None:
    """The error names an upstream that cannot count."""
    routed = Routed({"plain": FakeBackend(), "counts": CountingBackend()}).add("plain", models=["claude-opus-*"])
    router = await routed.router()
    assert await router.count_tokens(request(model="claude-haiku-5-5")) == {"input_tokens": 7}
    with pytest.raises(UnsupportedFeature, match="`plain`"):
        await router.count_tokens(request())


async def test_the_status_shows_each_upstream() -> None:
    """Its state, its pause, its runs and its backend's status."""
    routed = Routed({"one": FakeBackend(failure=Overloaded("busy")), "two": FakeBackend(not_ready="no key")})
    router = await routed.router()
    routed.fakes["two"].failure = NotSignedIn("no key")
    with pytest.raises(Overloaded):
        await execute(router)
    status = router.status()
    assert status["fallback"] is True
    upstreams = status["upstreams"]
    assert isinstance(upstreams, dict)
    one, two_ = upstreams["one"], upstreams["two"]
    assert isinstance(one, dict)
    assert isinstance(two_, dict)
    assert (one["state"], one["reason"], one["rests_for_seconds"], one["failures"]) == ("resting", "overloaded", 5, 1)
    assert (two_["state"], two_["reason"], two_["authentication"]) == ("not_ready", "no key", "none")
    assert router.ready() is None
    routed.fakes["one"].not_ready = "no sign-in"
    assert router.ready() == "one: no sign-in two: no key"


async def test_all_backends_are_started_and_closed() -> None:
    """The router owns them."""
    routed = Routed(two())
    router = await routed.router()
    await router.aclose()
    assert all(fake.started and fake.closed for fake in routed.fakes.values())


async def test_agents_run_at_an_upstream_that_runs_agents() -> None:
    """Whatever the order. If no upstream runs agents, the first one gets the request and refuses it."""
    agent_request = replace(request(), request_options=RequestOptions(agent=AgentTask()))
    routed = Routed(two()).add("one").add("two", agents=True)
    assert (await execute(await routed.router(), agent_request)).upstream == "two"
    without = Routed(two())
    assert (await execute(await without.router(), agent_request)).upstream == "one"


async def test_a_client_is_served_by_its_own_upstreams_alone() -> None:
    """Also if another one comes first, and if its own one fails. A client without an upstream gets an error."""
    routed = Routed(two())
    routed.add("one", clients=["ann"])
    routed.add("two", clients=["bob"])
    router = await routed.router()
    assert (await execute(router, replace(request(), client="bob"))).upstream == "two"
    assert (await execute(router, replace(request(), client="ann"))).upstream == "one"
    with pytest.raises(Forbidden, match="the key `eve`"):
        await execute(router, replace(request(), client="eve"))
    routed.fakes["two"].failure = RateLimited("slow down")
    with pytest.raises(RateLimited):
        await execute(router, replace(request(), client="bob"))
    assert routed.request_counts() == [1, 2]


class FailingTasks(FakeBackend):
    """A backend one of whose tasks failed."""

    def failures(self) -> dict[str, str]:
        """Return the failure."""
        return {"runtime-pool": "It cannot be started."}


async def test_failed_tasks_are_reported_with_their_upstream() -> None:
    """Also those of an upstream with a budget; a backend without tasks reports none."""
    routed = Routed({"one": FakeBackend(), "two": FailingTasks(), "three": FailingTasks()})
    router = await routed.add("three", daily="1").router()
    assert dict(router.failures()) == {
        "two: runtime-pool": "It cannot be started.",
        "three: runtime-pool": "It cannot be started.",
    }
