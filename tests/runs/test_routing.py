"""Which account is asked, when another one is, and that conversations stay."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from routing_fakes import Counting, Fake, Routed, ask, assistant, request, user

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
from dragoman.routing.upstream import Upstream, serves
from dragoman.runs.run import Run

OF_THE_ACCOUNT = [
    RateLimited("slow down", retry_after=3),
    QuotaExceeded("no credit"),
    Overloaded("busy"),
    UpstreamFailed("refused"),
    TimedOut("silent"),
    NotSignedIn("bad key"),
]


def two(**first: object) -> dict[str, Fake]:
    """Two accounts."""
    return {"one": Fake(**first), "two": Fake()}  # type: ignore[arg-type]


@contextmanager
def taken(upstream: Upstream) -> Iterator[None]:
    """A place of it that somebody else has."""
    ticket = upstream._admission.enter()
    yield
    ticket.leave()


async def queued(asking: Coroutine[None, None, Run]) -> "asyncio.Task[Run]":
    """Let a run begin, up to where it waits for a place: it has nothing else to wait for."""
    task = asyncio.create_task(asking)
    await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_the_first_in_order_is_asked() -> None:
    """And the run knows its name."""
    routed = Routed(two())
    run = await ask(await routed.router())
    assert run.upstream == "one"
    assert routed.asked() == [1, 0]


@pytest.mark.parametrize("failure", OF_THE_ACCOUNT, ids=lambda failure: type(failure).__name__)
async def test_the_next_is_asked_where_the_first_cannot_answer(failure: GatewayError) -> None:
    """The client sees one answer, and whose it is."""
    routed = Routed(two(failure=failure))
    run = await ask(await routed.router())
    assert run.upstream == "two"
    assert run.result().message["content"] == [{"type": "text", "text": "Hi"}]


@pytest.mark.parametrize("failure", OF_THE_ACCOUNT, ids=lambda failure: type(failure).__name__)
async def test_without_leave_no_other_is_asked(failure: GatewayError) -> None:
    """The failure is the client's."""
    routed = Routed(two(failure=failure), fallback=False)
    with pytest.raises(type(failure)):
        await ask(await routed.router())
    assert routed.asked() == [1, 0]


async def test_a_request_at_fault_goes_nowhere_else() -> None:
    """Another account would say the same; and the first is as well as before."""
    routed = Routed(two(failure=InvalidRequest("bad")))
    router = await routed.router()
    with pytest.raises(InvalidRequest):
        await ask(router)
    assert routed.asked() == [1, 0]
    assert routed.upstreams["one"].rest.failures == 0


async def test_after_the_first_word_no_other_is_asked() -> None:
    """The client has seen a part of an answer; but the account rests."""
    routed = Routed(two(breaks=UpstreamFailed("broke off")))
    router = await routed.router()
    run = Run("me", "m")
    with pytest.raises(UpstreamFailed, match="broke off"):
        await router.ask(request(), run)
    assert run.begun
    assert routed.asked() == [1, 0]
    assert routed.upstreams["one"].rest.left == 5


async def test_where_all_fail_the_first_failure_is_told_with_the_shortest_wait() -> None:
    """What its own account said, and when any may answer."""
    routed = Routed(
        {"one": Fake(failure=RateLimited("a", retry_after=30)), "two": Fake(failure=RateLimited("b", retry_after=4))}
    )
    with pytest.raises(RateLimited, match="a") as caught:
        await ask(await routed.router())
    assert caught.value.retry_after == 4
    assert routed.asked() == [1, 1]


async def test_a_resting_account_is_left_alone_until_its_time_is_over() -> None:
    """New conversations go to the next at once."""
    routed = Routed(two(failure=Overloaded("busy")))
    router = await routed.router()
    await ask(router, request(user("a")))
    await ask(router, request(user("b")))
    assert routed.asked() == [1, 2]
    routed.clock.now += 5
    routed.fakes["one"].failure = None
    assert (await ask(router, request(user("c")))).upstream == "one"
    assert routed.upstreams["one"].rest.failures == 0


async def test_a_conversation_stays_where_it_went() -> None:
    """Also when the account that it left is well again; others go there."""
    routed = Routed(two(failure=Overloaded("busy")))
    router = await routed.router()
    await ask(router, request(user("a")))
    routed.clock.now += 100
    routed.fakes["one"].failure = None
    assert (await ask(router, request(user("a"), assistant(), user("more")))).upstream == "two"
    assert (await ask(router, request(user("b")))).upstream == "one"


async def test_equals_share_the_conversations_and_each_stays() -> None:
    """By their first words alone, so that every turn and every start leads to the same account."""
    homes = []
    for _ in range(2):
        routed = Routed({name: Fake() for name in ("one", "two", "three")})
        for name in routed.fakes:
            routed.add(name, order=1)
        router = await routed.router()
        turns = [
            [await ask(router, request(user(f"{number}"), *more)) for more in ([], [assistant(), user("and?")])]
            for number in range(30)
        ]
        homes.append([[run.upstream for run in turn] for turn in turns])
        assert min(routed.asked()) > 0
    assert homes[0] == homes[1]
    assert all(first == second for first, second in homes[0])


async def test_where_all_rest_the_one_that_is_soonest_well_is_asked() -> None:
    """Resting sends runs elsewhere, and refuses none."""
    routed = Routed({"one": Fake(failure=Overloaded("a", retry_after=50)), "two": Fake(failure=Overloaded("b"))})
    router = await routed.router()
    with pytest.raises(Overloaded):
        await ask(router)
    routed.fakes["two"].failure = None
    assert (await ask(router)).upstream == "two"


@pytest.mark.parametrize(
    ("model", "upstream"), [("claude-haiku-5-5", "small"), ("claude-opus-5-5", "large"), ("claude-sonnet-5-5", "rest")]
)
async def test_accounts_serve_their_models(model: str, upstream: str) -> None:
    """By patterns; none is every model."""
    routed = Routed({name: Fake() for name in ("small", "large", "rest")})
    routed.add("small", models=["claude-haiku-*"]).add("large", models=["claude-opus-5-5", "claude-opus-5"])
    assert (await ask(await routed.router(), request(model=model))).upstream == upstream


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
def test_patterns(patterns: list[str], model: str, served: bool) -> None:  # noqa: FBT001
    """A model is meant with all its dates, and a date alone."""
    assert serves(patterns, model) is served


async def test_a_model_that_nobody_serves_is_not_found() -> None:
    """By name."""
    routed = Routed({"small": Fake()}).add("small", models=["claude-haiku-*"])
    with pytest.raises(NotFound, match="claude-opus-5-5") as caught:
        await ask(await routed.router())
    assert caught.value.code == "model_not_found"


async def test_new_conversations_go_where_there_is_a_place_and_old_ones_wait() -> None:
    """An old one's cached prompt is worth the wait."""
    routed = Routed(two()).add("one", places=1)
    router = await routed.router()
    with taken(routed.upstreams["one"]):
        assert (await ask(router, request(user("new")))).upstream == "two"
        waiting = await queued(ask(router, request(user("old"), assistant(), user("more"))))
    assert (await waiting).upstream == "one"


async def test_leaving_the_queue_for_a_place_frees_it() -> None:
    """A cancelled run holds nothing."""
    routed = Routed({"one": Fake()}).add("one", places=1)
    router = await routed.router()
    with taken(routed.upstreams["one"]):
        waiting = await queued(ask(router))
        assert routed.upstreams["one"].status()["runs"] == {"running": 1, "waiting": 1}
        waiting.cancel()
        await asyncio.wait([waiting])
    assert routed.upstreams["one"].status()["runs"] == {"running": 0, "waiting": 0}


async def test_thinking_does_not_go_along_to_another_account() -> None:
    """Models that bind it would refuse it there; the client is told. At home again with the new account, too."""
    thought = assistant({"type": "thinking", "thinking": "Hm", "signature": "one's"}, {"type": "text", "text": "Hi"})
    routed = Routed(two())
    router = await routed.router()
    question = request(user("a"), thought, user("more"))
    await ask(router, question)
    assert routed.fakes["one"].asked[-1].body["messages"][1] == thought
    routed.fakes["one"].failure = Overloaded("busy")
    for _ in range(2):
        run = await ask(router, question)
        assert run.upstream == "two"
        assert routed.fakes["two"].asked[-1].body["messages"][1] == assistant()
        assert [warning.code for warning in run.warnings] == ["left_out"]
    assert question.body["messages"][1] == thought


async def test_thinking_that_turns_out_to_be_anothers_is_left_out_and_asked_again_once() -> None:
    """Where the conversation was is forgotten after a start: then the account itself says so. Later turns know."""
    refusal = InvalidRequest("messages.1.content.0: The block is bound to a different conversation.")
    routed = Routed({"one": Fake(refuses_thinking=refusal), "two": Fake()})
    router = await routed.router()
    thought = assistant({"type": "thinking", "thinking": "Hm", "signature": "two's"}, {"type": "text", "text": "Hi"})
    question = request(user("a"), thought, user("more"))
    for tries in (2, 1):
        run = await ask(router, question)
        assert (run.upstream, [warning.code for warning in run.warnings]) == ("one", ["left_out"])
        assert len(routed.fakes["one"].asked) == tries
        routed.fakes["one"].asked.clear()
    routed.fakes["one"].refuses_thinking = InvalidRequest("something else")
    with pytest.raises(InvalidRequest, match="something else"):
        await ask(router, request(user("b"), thought, user("more")))


async def test_unbound_thinking_goes_along() -> None:
    """Older models take each other's accounts' signatures."""
    thought = assistant({"type": "thinking", "thinking": "Hm", "signature": "s"}, {"type": "text", "text": "Hi"})
    routed = Routed(two(failure=Overloaded("busy")))
    run = await ask(await routed.router(), request(user("a"), thought, user("more"), model="claude-sonnet-4-5"))
    assert routed.fakes["two"].asked[-1].body["messages"][1] == thought
    assert run.warnings == ()


async def test_clients_of_the_messages_api_are_routed_alike() -> None:
    """What they sent goes on as it is."""
    routed = Routed(two(failure=Overloaded("busy")))
    question = request()
    verbatim = replace(question, request_options=replace(question.request_options, verbatim=True))
    assert (await ask(await routed.router(), verbatim)).upstream == "two"
    assert routed.fakes["two"].asked == [verbatim]


async def test_models_are_listed_once_and_by_who_serves_them() -> None:
    """An account that has no list does not hide the others'."""
    routed = Routed(
        {
            "one": Fake(listed=["claude-opus-5", "claude-haiku-5-5"]),
            "two": Fake(listed=["claude-opus-5", "claude-sonnet-5"]),
            "none": Fake(),
        }
    ).add("one", models=["claude-opus-*"])
    listed = await (await routed.router()).models()
    assert [model.id for model in listed] == ["claude-opus-5", "claude-sonnet-5"]


async def test_no_list_at_all_is_an_error() -> None:
    """The first account's."""
    with pytest.raises(NotSignedIn):
        await (await Routed(two()).router()).models()


async def test_tokens_are_counted_by_the_account_of_the_conversation() -> None:
    """One that cannot says so by name."""
    routed = Routed({"plain": Fake(), "counts": Counting()}).add("plain", models=["claude-opus-*"])
    router = await routed.router()
    assert await router.count_tokens(request(model="claude-haiku-5-5")) == {"input_tokens": 7}
    with pytest.raises(UnsupportedFeature, match="`plain`"):
        await router.count_tokens(request())


async def test_the_operator_sees_each_account() -> None:
    """Its state, its rest, its runs and what the backend says."""
    routed = Routed({"one": Fake(failure=Overloaded("busy")), "two": Fake(trouble="no key")})
    router = await routed.router()
    routed.fakes["two"].failure = NotSignedIn("no key")
    with pytest.raises(Overloaded):
        await ask(router)
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
    routed.fakes["one"].trouble = "no sign-in"
    assert router.ready() == "one: no sign-in two: no key"


async def test_all_accounts_are_started_and_closed() -> None:
    """The router owns them."""
    routed = Routed(two())
    router = await routed.router()
    await router.aclose()
    assert all(fake.started and fake.closed for fake in routed.fakes.values())


async def test_agents_are_asked_of_those_that_have_them() -> None:
    """Whatever the order; where nobody has any, the first one says so itself."""
    wish = replace(request(), request_options=RequestOptions(agent=AgentTask()))
    routed = Routed(two()).add("one").add("two", agents=True)
    assert (await ask(await routed.router(), wish)).upstream == "two"
    without = Routed(two())
    assert (await ask(await without.router(), wish)).upstream == "one"


async def test_a_client_is_served_by_the_accounts_that_are_for_it() -> None:
    """Also where another one comes first, and where its own one fails; and who has none is told so."""
    routed = Routed(two())
    routed.add("one", clients=["ann"])
    routed.add("two", clients=["bob"])
    router = await routed.router()
    assert (await ask(router, replace(request(), client="bob"))).upstream == "two"
    assert (await ask(router, replace(request(), client="ann"))).upstream == "one"
    with pytest.raises(Forbidden, match="the key `eve`"):
        await ask(router, replace(request(), client="eve"))
    routed.fakes["two"].failure = RateLimited("slow down")
    with pytest.raises(RateLimited):
        await ask(router, replace(request(), client="bob"))
    assert routed.asked() == [1, 2]
