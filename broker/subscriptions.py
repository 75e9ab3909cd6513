"""The subscription tree: who wants a topic name, and on which terms.

Filters without a wildcard, which are nearly all, lie in a dictionary; the others in a tree of their
levels. `version` grows with every change, so that whoever remembers a match knows when it is stale.
"""

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from broker.packets import Subscription
from broker.topics import SHARED, matches, shared_parts

S = TypeVar("S")


class Target(Generic[S]):
    """Somebody who wants a topic, and the terms that all their subscriptions to it come to."""

    __slots__ = ("identifiers", "no_local", "qos", "retain_as_published", "subscriber")

    def __init__(self, subscriber: S, subscription: Subscription) -> None:
        self.subscriber = subscriber
        self.qos = subscription.qos
        self.retain_as_published = subscription.retain_as_published
        self.identifiers: tuple[int, ...] = (subscription.identifier,) if subscription.identifier else ()
        self.no_local = subscription.no_local


def _joined(first: Target[S], second: Target[S]) -> Target[S]:
    """Overlapping subscriptions are one delivery at the highest QoS [MQTT-3.3.4-2], with every identifier."""
    both: Target[S] = object.__new__(Target)
    both.subscriber = first.subscriber
    both.qos = max(first.qos, second.qos)
    both.retain_as_published = first.retain_as_published or second.retain_as_published
    both.identifiers = first.identifiers + second.identifiers
    both.no_local = False
    return both


def own_target(subscriber: S, subscriptions: Mapping[str, Subscription], name: str) -> Target[S] | None:
    """What all of a subscriber's own subscriptions to a topic name, beside any group, come to; None without one.

    The same as what the tree finds of it. Of few subscriptions one after the other is quicker to look at than a path
    through the tree, which has gone cold since somebody took it for this subscriber.
    """
    found: Target[S] | None = None
    for topic_filter, subscription in subscriptions.items():
        first = topic_filter[0]
        # Most filters of a device are about something else, which the first character tells.
        if first != name[0] and first not in "+#":
            continue
        if not topic_filter.startswith(SHARED) and matches(topic_filter, name):
            target = Target(subscriber, subscription)
            found = target if found is None else _joined(found, target)
    return found


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
            yield Target(member, subscription)

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

    def only(self, subscriber: S) -> "Matches[S]":
        """What of it one subscriber wants for itself, beside any group."""
        return Matches(tuple(target for target in self.targets if target.subscriber is subscriber), (), {})


_Cell = dict[S | Group[S], Target[S]]
"""Who subscribed to one filter. For a group the target only stands for it."""


class _Level(Generic[S]):
    """One level of the filters with wildcards."""

    __slots__ = ("any_name", "below", "cell", "rest")

    def __init__(self) -> None:
        self.below: dict[str, _Level[S]] = {}
        """By name; wildcards have places of their own, which are looked at for every topic."""
        self.any_name: _Level[S] | None = None
        """Below `+`."""
        self.rest: _Cell[S] = {}
        """Below `#`, which has nothing below it."""
        self.cell: _Cell[S] = {}

    @property
    def is_empty(self) -> bool:
        return not (self.below or self.any_name or self.rest or self.cell)


class SubscriptionTree(Generic[S]):
    """Which subscriber wants which topics, on which terms."""

    def __init__(self) -> None:
        self._exact: dict[str, _Cell[S]] = {}
        self._root: _Level[S] = _Level()
        self._groups: dict[tuple[str, str], Group[S]] = {}
        self._has_wildcards = False
        self._is_plain = True
        """Whether there never was a shared subscription, nor one without its own messages."""
        self.version = 0

    def add(self, subscriber: S, subscription: Subscription) -> None:
        """Subscribe, or replace the terms of the same subscription [MQTT-3.8.4-3]."""
        self.version += 1
        share, topic_filter = shared_parts(subscription.topic_filter)
        if share or subscription.no_local:
            self._is_plain = False
        if not share:
            self._cell(topic_filter)[subscriber] = Target(subscriber, subscription)
            return
        group = self._groups.get((share, topic_filter))
        if group is None:
            group = self._groups[share, topic_filter] = Group((share, topic_filter))
            self._cell(topic_filter)[group] = Target(subscriber, subscription)
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
        cells = _wildcard_cells(self._root, name) if self._has_wildcards else []
        exact = self._exact.get(name)
        if exact:
            cells.append(exact)
        if self._is_plain:
            # Nearly always: there is one cell, or nobody is in two of them.
            if len(cells) == 1:
                return Matches(tuple(cells[0].values()), (), {})
            if not cells:
                return Matches((), (), {})
            if len(cells) == 2 and cells[0].keys().isdisjoint(cells[1]):  # noqa: PLR2004  a pair is cheap to compare
                return Matches((*cells[0].values(), *cells[1].values()), (), {})
        return _sorted(cells)

    @property
    def is_empty(self) -> bool:
        """Whether nobody is subscribed to anything."""
        return not self._exact and not self._has_wildcards

    def _cell(self, topic_filter: str) -> _Cell[S]:
        if not _has_wildcard(topic_filter):
            return self._exact.setdefault(topic_filter, {})
        self._has_wildcards = True
        level = self._root
        for name in topic_filter.split("/"):
            if name == "#":
                return level.rest
            if name == "+":
                level.any_name = level = level.any_name or _Level()
            else:
                level = level.below.setdefault(name, _Level())
        return level.cell

    def _remove(self, topic_filter: str, subscriber: S | Group[S]) -> None:
        if _has_wildcard(topic_filter):
            _prune(self._root, topic_filter.split("/"), subscriber)
            self._has_wildcards = not self._root.is_empty
            return
        cell = self._exact.get(topic_filter)
        if cell is not None:
            cell.pop(subscriber, None)
            if not cell:
                del self._exact[topic_filter]


def _wildcard_cells(root: _Level[S], name: str) -> list[_Cell[S]]:
    """The cells of all filters with a wildcard that match, none of them empty."""
    cells: list[_Cell[S]] = []
    parts = name.split("/")
    level = root
    # A wildcard in the first level does not match names that begin with $ [MQTT-4.7.2-1].
    is_open = not name.startswith("$")
    for depth, part in enumerate(parts, 1):
        if level.rest and is_open:
            cells.append(level.rest)
        same = level.below.get(part)
        other = level.any_name if is_open else None
        if same is not None and other is not None:
            return _branching_cells([same, other], parts[depth:], cells)
        following = same or other
        if following is None:
            return cells
        level = following
        is_open = True
    return _branching_cells([level], [], cells)


def _branching_cells(levels: list[_Level[S]], parts: list[str], cells: list[_Cell[S]]) -> list[_Cell[S]]:
    """The same from several levels at once, which is rare. Level by level: their depth is the client's choice."""
    for part in parts:
        following = []
        for level in levels:
            if level.rest:
                cells.append(level.rest)
            same = level.below.get(part)
            following += [below for below in (same, level.any_name) if below is not None]
        levels = following
    for level in levels:
        # A filter with the wildcard matches what stands before it, too [4.7.1.2].
        cells += [cell for cell in (level.cell, level.rest) if cell]
    return cells


def _sorted(cells: list[_Cell[S]]) -> Matches[S]:
    """The general case: the same subscriber in several cells, and groups."""
    found: dict[S, Target[S]] = {}
    not_own: dict[S, Target[S] | None] = {}
    groups = []
    for cell in cells:
        for subscriber, target in cell.items():
            if isinstance(subscriber, Group):
                groups.append(subscriber)
                continue
            other = found.get(subscriber)
            found[subscriber] = target if other is None else _joined(other, target)
            rest = not_own.get(subscriber)
            if not target.no_local:
                not_own[subscriber] = target if rest is None else _joined(rest, target)
            else:
                not_own.setdefault(subscriber, None)
    own = {
        subscriber: not_own[subscriber]
        for cell in cells
        for subscriber, target in cell.items()
        if target.no_local and not isinstance(subscriber, Group)
    }
    return Matches(tuple(found.values()), tuple(groups), own)


def _prune(root: _Level[S], names: list[str], subscriber: S | Group[S]) -> None:
    """Remove a subscriber from the end of a path, and levels that nobody needs any more."""
    path = [root]
    for name in names:
        level = path[-1]
        if name == "#":
            level.rest.pop(subscriber, None)
            break
        below = level.any_name if name == "+" else level.below.get(name)
        if below is None:
            return
        path.append(below)
    else:
        path[-1].cell.pop(subscriber, None)
    for parent, name, level in reversed(list(zip(path, names, path[1:], strict=False))):
        if not level.is_empty:
            return
        if name == "+":
            parent.any_name = None
        else:
            del parent.below[name]


def _has_wildcard(topic_filter: str) -> bool:
    return "+" in topic_filter or "#" in topic_filter
