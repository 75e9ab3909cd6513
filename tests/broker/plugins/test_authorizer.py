"""Plugins narrow what the gateway allows, and nothing else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.plugins.authorizer import (
    PUBLISH,
    RECEIVE,
    SILENT,
    SUBSCRIBE,
    HostedPrincipal,
    Opinion,
    PluginAuthorizer,
    Verdict,
    contains,
)
from broker.plugins.ports import Mode, PluginConfig
from broker.plugins.questions import Later
from broker.ports import ALLOWED, Allowed, Authorizer, Credentials, Denied, Pending, Principal
from broker.topics import matches
from tests.broker.plugins.examples import FakeBase, answer, shown

REFUSED = Denied("a plugin does not like it")


class FakeJudge:
    """Says of every client and topic what it is told to, at once or later."""

    def __init__(self, opinion: Opinion = ALLOWED, verdict: Verdict = ALLOWED, *, is_slow: bool = False) -> None:
        self.opinion: tuple[Opinion, object] = (opinion, "remembered")
        self.verdict = verdict
        self.is_slow = is_slow
        self.asked: list[object] = []

    def judge_client(self, credentials: Credentials) -> Any:
        self.asked.append(credentials.client_id)
        opinion = self.opinion
        return Later(lambda tell: tell(opinion)) if self.is_slow else opinion

    def welcome(self, principal: Principal, credentials: Credentials, remembered: object) -> Principal:
        return principal

    def judge_topic(self, principal: Principal, topic: str, action: str) -> Any:
        self.asked.append((topic, action))
        verdict = self.verdict
        return Later(lambda tell: tell(verdict)) if self.is_slow else verdict


class Host(FakeJudge):
    """Remembers what clients showed that were let in."""

    def __init__(self) -> None:
        super().__init__()
        self.welcomed: list[str] = []

    def welcome(self, principal: Principal, credentials: Credentials, remembered: object) -> Principal:
        self.welcomed.append(credentials.transport)
        return principal


OPINIONS = st.sampled_from([ALLOWED, SILENT, REFUSED])
MODES = st.sampled_from(list(Mode))
TOPICS = st.lists(st.sampled_from(["a", "b", "$SYS", ""]), min_size=1, max_size=4).map("/".join)
FILTERS = st.one_of(
    TOPICS,
    st.lists(st.sampled_from(["a", "b", "+"]), min_size=1, max_size=4).map("/".join),
    st.lists(st.sampled_from(["a", "b", "+"]), max_size=3).map(lambda levels: "/".join([*levels, "#"])),
)


@given(OPINIONS, MODES, st.booleans(), st.booleans())
async def test_whoever_the_gateway_refuses_gets_in_as_a_guest_or_not_at_all(
    opinion: Opinion, mode: Mode, is_slow: bool, has_certificate: bool
) -> None:
    base = FakeBase()
    base.is_slow = is_slow
    judge = FakeJudge(opinion, is_slow=is_slow)
    authorizer = PluginAuthorizer(base, PluginConfig(mode=mode), judge)
    credentials = shown("c", "anna", certificate=b"DER" if has_certificate else None)
    word = await answer(authorizer.authenticate(credentials))
    may_be_guest = mode is not Mode.NARROW and not has_certificate and opinion is ALLOWED
    assert word == Principal(1, "guest/anna") if may_be_guest else isinstance(word, Denied)


@given(OPINIONS, MODES, st.booleans())
async def test_whoever_the_gateway_knows_is_refused_only_by_a_plugin_that_may(
    opinion: Opinion, mode: Mode, is_slow: bool
) -> None:
    base = FakeBase("c")
    base.is_slow = is_slow
    authorizer = PluginAuthorizer(base, PluginConfig(mode=mode), FakeJudge(opinion, is_slow=is_slow))
    word = await answer(authorizer.authenticate(shown("c", certificate=b"DER")))
    is_refused = opinion is REFUSED and mode is not Mode.GUESTS
    assert word == (REFUSED if is_refused else Principal(1, "c"))


@given(st.sampled_from([ALLOWED, REFUSED]), MODES, st.booleans(), st.booleans(), st.sampled_from([0, 1, 2]))
async def test_what_the_gateway_denies_stays_denied(
    verdict: Verdict, mode: Mode, is_slow: bool, is_denied: bool, which: int
) -> None:
    base = FakeBase()
    base.is_slow = is_slow
    base.denied = {"t"} if is_denied else set()
    authorizer = PluginAuthorizer(base, PluginConfig(mode=mode), FakeJudge(verdict=verdict, is_slow=is_slow))
    ask = (authorizer.may_publish, authorizer.may_subscribe, authorizer.may_receive)[which]
    word = await answer(ask(Principal(1, "c"), "t"))
    is_narrowed = mode is not Mode.GUESTS and verdict is REFUSED
    assert isinstance(word, Denied) == (is_denied or is_narrowed)


@given(st.lists(FILTERS, max_size=3), FILTERS, TOPICS)
def test_what_a_guest_receives_by_a_filter_it_may_have_it_may_receive(
    allowed: list[str], wish: str, topic: str
) -> None:
    config = PluginConfig(mode=Mode.GUESTS, guest_filters=tuple(allowed))
    authorizer = PluginAuthorizer(FakeBase(), config, FakeJudge())
    guest = Principal(1, "guest/anna")
    if authorizer.may_subscribe(guest, wish) == ALLOWED and matches(wish, topic):
        assert authorizer.may_receive(guest, topic) == ALLOWED
        assert authorizer.may_publish(guest, topic) == ALLOWED


@given(FILTERS, FILTERS, TOPICS)
def test_a_filter_contains_what_every_topic_of_the_other_matches(allowed: str, wish: str, topic: str) -> None:
    if contains(allowed, wish) and matches(wish, topic):
        # What # and + match does not begin with $, unless the wish names it.
        assert matches(allowed, topic) or topic.startswith("$")


def test_a_guest_has_no_topics_that_begin_with_a_dollar() -> None:
    config = PluginConfig(mode=Mode.GUESTS, guest_filters=("#", "$SYS/#"))
    authorizer = PluginAuthorizer(FakeBase(), config, FakeJudge())
    guest = Principal(1, "guest/anna")
    for ask in (authorizer.may_publish, authorizer.may_subscribe, authorizer.may_receive):
        assert isinstance(ask(guest, "$SYS/broker/version"), Denied)


def test_a_guest_that_came_before_the_mode_was_changed_may_do_nothing() -> None:
    base = FakeBase()
    authorizer = PluginAuthorizer(base, PluginConfig(mode=Mode.NARROW, guest_filters=("#",)), FakeJudge())
    assert isinstance(authorizer.may_receive(Principal(1, "anonymous/c"), "t"), Denied)


async def test_plugins_are_not_asked_about_operators_or_other_tenants() -> None:
    base = FakeBase("person", "stranger")
    base.operators = {"person"}
    base.tenants = {"stranger": 2}
    judge = FakeJudge(REFUSED, REFUSED)
    authorizer = PluginAuthorizer(base, PluginConfig(mode=Mode.BOTH), judge)
    for client_id in ("person", "stranger"):
        principal = authorizer.authenticate(shown(client_id))
        assert isinstance(principal, Principal)
        assert authorizer.may_publish(principal, "t") == ALLOWED
    assert authorizer.may_publish(Principal(2, "guest/anna"), "t") == ALLOWED
    assert judge.asked == []


def test_plugins_are_asked_with_the_action_of_the_client() -> None:
    judge = FakeJudge()
    authorizer = PluginAuthorizer(FakeBase(), PluginConfig(), judge)
    authorizer.may_publish(Principal(1, "c"), "a")
    authorizer.may_subscribe(Principal(1, "c"), "b/#")
    authorizer.may_receive(Principal(1, "c"), "b/c")
    assert judge.asked == [("a", PUBLISH), ("b/#", SUBSCRIBE), ("b/c", RECEIVE)]


def test_what_may_be_retained_the_gateway_says() -> None:
    class Keeping(FakeBase):
        def may_retain(self, principal: Principal, topic: str) -> Allowed | Denied:
            return ALLOWED if topic == "kept" else Denied("it is not kept")

    authorizer = PluginAuthorizer(Keeping(), PluginConfig(mode=Mode.BOTH), FakeJudge())
    device, guest = Principal(1, "c"), Principal(1, "guest/c")
    assert authorizer.may_retain(device, "kept") == ALLOWED
    assert isinstance(authorizer.may_retain(device, "t"), Denied)
    assert authorizer.may_retain(guest, "t") == ALLOWED
    assert PluginAuthorizer(FakeBase(), PluginConfig(), FakeJudge()).may_retain(device, "t") == ALLOWED


def test_a_guest_without_a_username_is_named_by_its_client_identifier() -> None:
    authorizer = PluginAuthorizer(FakeBase(), PluginConfig(mode=Mode.GUESTS), FakeJudge())
    assert authorizer.authenticate(shown("c")) == Principal(1, "anonymous/c")


async def test_an_authoriser_that_allows_without_saying_who_lets_nobody_in() -> None:
    class Nameless(FakeBase):
        def authenticate(self, credentials: Credentials) -> Pending:
            return Pending(lambda tell: tell(Allowed()))

    base: Authorizer = Nameless()
    authorizer = PluginAuthorizer(base, PluginConfig(), FakeJudge())
    assert isinstance(await answer(authorizer.authenticate(shown("c"))), Denied)


@pytest.mark.parametrize("other", [Principal(1, "anna"), HostedPrincipal(1, "anna", client_id="elsewhere")])
def test_a_principal_that_comes_back_is_who_left(other: Principal) -> None:
    principal = HostedPrincipal(1, "anna", client_id="c")
    assert principal == other
    assert other == principal
    assert hash(principal) == hash(other)
    assert principal != Principal(2, "anna")
    assert principal != "anna"


@pytest.mark.parametrize("mode", [Mode.NARROW, Mode.GUESTS])
async def test_what_a_session_showed_when_it_came_is_not_replaced_by_a_request(mode: Mode) -> None:
    judge = Host()
    authorizer = PluginAuthorizer(FakeBase("c"), PluginConfig(mode=mode), judge)
    for transport in ("tls", "https", "websocket"):
        credentials = Credentials("c", None, None, b"DER", "127.0.0.9:5", transport)
        assert await answer(authorizer.authenticate(credentials)) == Principal(1, "c")
    assert judge.welcomed == ["tls", "websocket"]
