"""The subscription tree: who wants a topic name, and on which terms.

Filters without a wildcard, which are nearly all, lie in a dictionary; the others in a tree of their
levels. `version` grows with every change, so that whoever remembers a match knows when it is stale.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

from broker.packets import Subscription
from broker.topics import shared_parts

S = TypeVar("S")


class Target(Generic[S]):
    """Somebody who wants a topic, and the terms that all their subscriptions to it come to."""

    __slots__ = ("identifiers", "qos", "retain_as_published", "subscriber")

    def __init__(self, subscriber: S, subscriptions: tuple[Subscription, ...]) -> None:
        """Overlapping subscriptions are one delivery at the highest QoS [MQTT-3.3.4-2], with every identifier."""
        self.subscriber = subscriber
        self.qos = max(subscription.qos for subscription in subscriptions)
        self.retain_as_published = any(subscription.retain_as_published for subscription in subscriptions)
        self.identifiers = tuple(subscription.identifier for subscription in subscriptions if subscription.identifier)


class Group(Generic[S]):
    """The members of one shared subscription: each message goes to one of them."""

    __slots__ = ("members", "name")

    def __init__(self, name: tuple[str, str]) -> None:
        """`name` is the share name and the topic filter."""
        self.name = name
        self.members: dict[S, Subscription] = {}
        """Whoever has waited longest for a message comes first."""

    def in_turn(self) -> Iterator[Target[S]]:
        """Every member, beginning with the one whose turn it is; made as they are asked for, groups may be large."""
        for member, subscription in self.members.items():
            yield Target(member, (subscription,))

    def served(self, member: S) -> None:
        """This member got a message: it is everybody else's turn first."""
        self.members[member] = self.members.pop(member)


class Matches(Generic[S]):
    """Everyone who wants a topic name."""

    __slots__ = ("groups", "own", "targets")

    def __init__(
        self, targets: tuple[Target[S], ...], groups: tuple[Group[S], ...], own: dict[S, Target[S] | None]
    ) -> None:
        self.targets = targets
        """Once each."""
        self.groups = groups
        self.own = own
        """For those with a No Local subscription: what is left for their own messages [MQTT-3.8.3-3]."""


class _Level(Generic[S]):
    """One level of the filters with wildcards."""

    __slots__ = ("below", "cell")

    def __init__(self) -> None:
        self.below: dict[str, _Level[S]] = {}
        self.cell: dict[S | Group[S], Subscription] = {}


class SubscriptionTree(Generic[S]):
    """Which subscriber wants which topics, on which terms."""

    def __init__(self) -> None:
        self._exact: dict[str, dict[S | Group[S], Subscription]] = {}
        self._root: _Level[S] = _Level()
        self._groups: dict[tuple[str, str], Group[S]] = {}
        self.version = 0

    def add(self, subscriber: S, subscription: Subscription) -> None:
        """Subscribe, or replace the terms of the same subscription [MQTT-3.8.4-3]."""
        self.version += 1
        share, topic_filter = shared_parts(subscription.topic_filter)
        if not share:
            self._cell(topic_filter)[subscriber] = subscription
            return
        group = self._groups.get((share, topic_filter))
        if group is None:
            group = self._groups[share, topic_filter] = Group((share, topic_filter))
            self._cell(topic_filter)[group] = subscription
        group.members[subscriber] = subscription

    def remove(self, subscriber: S, topic_filter: str) -> None:
        """Unsubscribe; nothing happens when there is no such subscription."""
        self.version += 1
        share, topic_filter = shared_parts(topic_filter)
        if not share:
            self._remove(topic_filter, subscriber)
            return
        group = self._groups.get((share, topic_filter))
        if group is not None:
            group.members.pop(subscriber, None)
            if not group.members:
                del self._groups[share, topic_filter]
                self._remove(topic_filter, group)

    def match(self, name: str) -> Matches[S]:
        """Everyone who wants this topic name."""
        cells = list(self._wildcard_matches(name)) if self._root.below else []
        exact = self._exact.get(name)
        if exact:
            cells.append(exact)
        found: dict[S, tuple[Subscription, ...]] = {}
        groups: list[Group[S]] = []
        for cell in cells:
            for subscriber, subscription in cell.items():
                if isinstance(subscriber, Group):
                    groups.append(subscriber)
                elif subscriber in found:
                    found[subscriber] += (subscription,)
                else:
                    found[subscriber] = (subscription,)
        targets = tuple([Target(subscriber, subscriptions) for subscriber, subscriptions in found.items()])
        return Matches(targets, tuple(groups), _own(found))

    @property
    def is_empty(self) -> bool:
        """Whether nobody is subscribed to anything."""
        return not self._exact and not self._root.below

    def _cell(self, topic_filter: str) -> dict[S | Group[S], Subscription]:
        if not _has_wildcard(topic_filter):
            return self._exact.setdefault(topic_filter, {})
        level = self._root
        for name in topic_filter.split("/"):
            level = level.below.setdefault(name, _Level())
        return level.cell

    def _remove(self, topic_filter: str, subscriber: S | Group[S]) -> None:
        if _has_wildcard(topic_filter):
            _prune(self._root, topic_filter.split("/"), subscriber)
            return
        cell = self._exact.get(topic_filter)
        if cell is not None:
            cell.pop(subscriber, None)
            if not cell:
                del self._exact[topic_filter]

    def _wildcard_matches(self, name: str) -> Iterator[dict[S | Group[S], Subscription]]:
        levels = name.split("/")
        # A stack instead of recursion: its depth is the client's choice.
        waiting = [(self._root, 0)]
        while waiting:
            level, depth = waiting.pop()
            # A wildcard in the first level does not match names that begin with $ [MQTT-4.7.2-1].
            wildcards_count = depth > 0 or not name.startswith("$")
            if wildcards_count and (rest := level.below.get("#")) is not None:
                yield rest.cell
            if depth == len(levels):
                yield level.cell
                continue
            if (same := level.below.get(levels[depth])) is not None:
                waiting.append((same, depth + 1))
            if wildcards_count and (any_name := level.below.get("+")) is not None:
                waiting.append((any_name, depth + 1))


def _own(found: dict[S, tuple[Subscription, ...]]) -> dict[S, Target[S] | None]:
    own: dict[S, Target[S] | None] = {}
    for subscriber, subscriptions in found.items():
        if any(subscription.no_local for subscription in subscriptions):
            rest = tuple(subscription for subscription in subscriptions if not subscription.no_local)
            own[subscriber] = Target(subscriber, rest) if rest else None
    return own


def _prune(root: _Level[S], names: list[str], subscriber: S | Group[S]) -> None:
    """Remove a subscriber from the end of a path, and levels that nobody needs any more."""
    path = [root]
    for name in names:
        below = path[-1].below.get(name)
        if below is None:
            return
        path.append(below)
    path[-1].cell.pop(subscriber, None)
    for name in reversed(names):
        level = path.pop()
        if level.cell or level.below:
            return
        del path[-1].below[name]


def _has_wildcard(topic_filter: str) -> bool:
    return "+" in topic_filter or "#" in topic_filter
