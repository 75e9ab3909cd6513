"""The gateway's own authoriser, narrowed by plugins.

Nothing that a plugin says widens what may be done. What clients may do that the gateway knows, its own
authoriser says first; what guests may do at most, the settings say. Plugins are asked after that, and
may only refuse. Guests are clients without a certificate that the gateway did not know and plugins admitted.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from broker.plugins.ports import Mode, PluginConfig
from broker.plugins.questions import Later
from broker.ports import (
    ALLOWED,
    Allowed,
    Authorizer,
    Credentials,
    Decision,
    Denied,
    Pending,
    Principal,
    RetainAuthorizer,
)
from broker.topics import matches

NAMED_GUEST = "guest/"
NAMELESS_GUEST = "anonymous/"
"""What the names of guests begin with. No device has such a name: it would be two levels of a topic."""

PUBLISH, SUBSCRIBE, RECEIVE = "publish", "subscribe", "receive"


class Silent(msgspec.Struct, frozen=True):
    """No plugin has an opinion about a client."""


SILENT = Silent()
Opinion = Allowed | Denied | Silent
Verdict = Allowed | Denied


class HostedPrincipal(Principal, frozen=True, gc=False, eq=False):
    """A principal that remembers its client, because plugins judge a client by what it showed when it came.

    It is equal to the plain principal of the same name: whoever comes back is who left.
    """

    client_id: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Principal) and _plain(self) == _plain(other)

    def __hash__(self) -> int:
        return hash(Principal(*_plain(self)))


class Judge(Protocol):
    """Asks the plugins."""

    def judge_client(self, credentials: Credentials) -> "tuple[Opinion, object] | Later[tuple[Opinion, object]]":
        """What the plugins say of a client, and what they have to remember of it."""

    def welcome(self, principal: Principal, credentials: Credentials, remembered: object) -> Principal:
        """Remember a client that was let in; `remembered` is None when the plugins were not asked."""

    def judge_topic(self, principal: Principal, topic: str, action: str) -> Verdict | Later[Verdict]:
        """Whether every plugin that filters topics allows this."""


class PluginAuthorizer:
    """An `Authorizer` that asks another one and then the plugins."""

    def __init__(self, base: Authorizer, config: PluginConfig, judge: Judge) -> None:
        self._base = base
        self._judge = judge
        self._tenant_id = config.tenant_id
        self._narrows = config.mode is not Mode.GUESTS
        self._admits = config.mode is not Mode.NARROW
        self._guest_filters = config.guest_filters

    def authenticate(self, credentials: Credentials) -> Principal | Denied | Pending:
        """Who this is, by the gateway or as a guest, unless a plugin refuses it."""
        word = self._base.authenticate(credentials)
        if isinstance(word, Pending):
            who: Later[Principal | Denied] = Later(word.then).chained(lambda told: self._consider(credentials, told))
            return Pending(who.then)
        answer = self._consider(credentials, word)
        return Pending(answer.then) if isinstance(answer, Later) else answer

    def may_publish(self, principal: Principal, topic: str) -> Decision:
        """Whether the gateway and every plugin allow it."""
        return self._decide(principal, topic, PUBLISH, self._base.may_publish)

    def may_subscribe(self, principal: Principal, topic_filter: str) -> Decision:
        """Whether the gateway and every plugin allow it. Plugins get the filter as it is written."""
        return self._decide(principal, topic_filter, SUBSCRIBE, self._base.may_subscribe)

    def may_receive(self, principal: Principal, topic: str) -> Decision:
        """Whether the gateway and every plugin allow it."""
        return self._decide(principal, topic, RECEIVE, self._base.may_receive)

    def may_retain(self, principal: Principal, topic: str) -> Allowed | Denied:
        """Whether the gateway lets it leave a retained message; guests may where they may publish."""
        if not isinstance(self._base, RetainAuthorizer) or is_guest(principal):
            return ALLOWED
        return self._base.may_retain(principal, topic)

    def _consider(
        self, credentials: Credentials, word: Principal | Allowed | Denied
    ) -> Principal | Denied | Later[Principal | Denied]:
        if isinstance(word, Allowed):
            return Denied("the authoriser did not say who it is")
        if isinstance(word, Denied) and (not self._admits or credentials.certificate is not None):
            return word
        if isinstance(word, Principal):
            if word.tenant_id != self._tenant_id:
                return word
            if word.is_operator or not self._narrows:
                return self._welcome(word, credentials, None)
        said = self._judge.judge_client(credentials)
        if isinstance(said, Later):
            return said.chained(lambda told: self._conclude(credentials, word, *told))
        return self._conclude(credentials, word, *said)

    def _conclude(
        self, credentials: Credentials, word: Principal | Denied, opinion: Opinion, remembered: object
    ) -> Principal | Denied:
        if isinstance(opinion, Denied):
            return opinion
        if isinstance(word, Principal):
            return self._welcome(word, credentials, remembered)
        if isinstance(opinion, Silent):
            return word
        guest = Principal(self._tenant_id, guest_name(credentials))
        return self._judge.welcome(guest, credentials, remembered)

    def _welcome(self, principal: Principal, credentials: Credentials, remembered: object) -> Principal:
        if credentials.transport == "https":
            # What its sessions showed when they came is what they are judged by.
            return principal
        return self._judge.welcome(principal, credentials, remembered)

    def _decide(
        self, principal: Principal, topic: str, action: str, ask_base: Callable[[Principal, str], Decision]
    ) -> Decision:
        is_ours = principal.tenant_id == self._tenant_id
        word: Decision
        if is_ours and is_guest(principal):
            word = self._judge_guest(topic, action)
        else:
            word = ask_base(principal, topic)
            if not is_ours or not self._narrows or principal.is_operator:
                return word
        if isinstance(word, Denied):
            return word
        if isinstance(word, Pending):
            first = Later(word.then)
            later: Later[Verdict] = first.chained(lambda told: self._narrow(principal, topic, action, told))
            return Pending(later.then)
        answer = self._judge.judge_topic(principal, topic, action)
        return Pending(answer.then) if isinstance(answer, Later) else answer

    def _narrow(
        self, principal: Principal, topic: str, action: str, word: Principal | Allowed | Denied
    ) -> Verdict | Later[Verdict]:
        return word if isinstance(word, Denied) else self._judge.judge_topic(principal, topic, action)

    def _judge_guest(self, topic: str, action: str) -> Verdict:
        if not self._admits:
            return Denied("this gateway admits no guests")
        if topic.startswith("$"):
            return Denied(f"guests have no topics that begin with $, such as {topic!r}")
        covers = contains if action == SUBSCRIBE else matches
        if any(covers(allowed, topic) for allowed in self._guest_filters):
            return ALLOWED
        return Denied(f"guests may not {action} {topic!r}; they may: {', '.join(self._guest_filters) or 'nothing'}")


def is_guest(principal: Principal) -> bool:
    """Whether this is a client that plugins admitted."""
    return principal.name.startswith((NAMED_GUEST, NAMELESS_GUEST))


def guest_name(credentials: Credentials) -> str:
    """The name that the rights of a guest hang on: its username, or else its client identifier."""
    if credentials.username:
        return NAMED_GUEST + credentials.username
    return NAMELESS_GUEST + credentials.client_id


def contains(allowed: str, wish: str) -> bool:
    """Whether every topic name that the filter `wish` matches is matched by the filter `allowed` (4.7.1)."""
    levels, wishes = allowed.split("/"), wish.split("/")
    for index, level in enumerate(levels):
        if level == "#":
            return True
        if index >= len(wishes) or wishes[index] == "#" or level not in ("+", wishes[index]):
            return False
    return len(levels) == len(wishes)


def _plain(principal: Principal) -> tuple[int, str, bool]:
    return principal.tenant_id, principal.name, principal.is_operator
