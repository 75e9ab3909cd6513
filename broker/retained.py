"""The newest retained message of each topic name: section 3.3.1.3 of both versions.

They lie in a tree of their topics' levels, so that a filter costs what it finds and not what there is.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush

from broker.limits import Limits
from broker.message import Message

STALE_LIMIT = 64
"""Notes of expiry that are out of date, beside as many as there are messages, before they are thrown away."""


class _Level:
    """One level of the topic names."""

    __slots__ = ("below", "message")

    def __init__(self) -> None:
        self.below: dict[str, _Level] = {}
        self.message: Message | None = None


class RetainedMessages:
    """Retained messages of one tenant, bounded by count and bytes, and by count for each client."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._messages: dict[str, Message] = {}
        self._count_of: Counter[str] = Counter()
        # When to look whether a topic's message has expired, the earliest first.
        self._due: list[tuple[int, str]] = []
        self._root = _Level()
        self.stored_bytes = 0
        self.refused_count = 0

    def __len__(self) -> int:
        """Count the topics that have a retained message."""
        return len(self._messages)

    def keep(self, message: Message) -> str | None:
        """Put a message in the place of the one before; an empty payload clears it [MQTT-3.3.1-10].

        Gives why not when the bounds leave no room: what was kept before stays.
        """
        before = self._messages.get(message.topic)
        if not message.payload:
            if before is not None:
                self._clear(before)
            return None
        fault = self._fault(message, before)
        if fault:
            self.refused_count += 1
            return fault
        if before is not None:
            self._forget(before)
        self._put(message)
        return None

    def matching(self, topic_filter: str, now: int) -> Iterator[Message]:
        """Every retained message whose topic matches the filter and that has not expired (UTC ms)."""
        levels = topic_filter.split("/")
        # A stack instead of recursion: its depth is the client's choice.
        waiting = [(self._root, 0)]
        while waiting:
            level, depth = waiting.pop()
            wanted = levels[depth] if depth < len(levels) else None
            # The level itself too: # matches its parent [4.7.1.2].
            message = level.message
            if wanted in (None, "#") and message is not None and not _has_expired(message, now):
                yield message
            if wanted in ("+", "#"):
                next_depth = depth if wanted == "#" else depth + 1
                waiting += [(below, next_depth) for below in self._below(level)]
            elif wanted is not None and (same := level.below.get(wanted)) is not None:
                waiting.append((same, depth + 1))

    def holds(self, message: Message, now: int) -> bool:
        """Whether this very message is still retained, and has not expired (UTC ms)."""
        return self._messages.get(message.topic) is message and not _has_expired(message, now)

    def expired(self, now: int) -> list[Message]:
        """Take out what has expired (UTC ms)."""
        gone = []
        while self._due and self._due[0][0] <= now:
            _, topic = heappop(self._due)
            message = self._messages.get(topic)
            # Another one may have taken its place, with a time of its own.
            if message is not None and _has_expired(message, now):
                self._clear(message)
                gone.append(message)
        return gone

    def _fault(self, message: Message, before: Message | None) -> str | None:
        limits = self._limits
        is_more_of_client = before is None or before.principal != message.principal
        if is_more_of_client and message.client_id and self._count_of[message.principal] >= limits.retained_per_client:
            return f"it already retains {limits.retained_per_client:,} messages, as many as one client may"
        if before is None and len(self._messages) >= limits.retained_messages:
            return f"{limits.retained_messages:,} messages are retained, as many as there may be"
        grown = self.stored_bytes + message.size_bytes - (before.size_bytes if before else 0)
        if grown > limits.retained_bytes:
            return f"retained messages may take {limits.retained_bytes:,} bytes together"
        return None

    def _below(self, level: _Level) -> Iterable[_Level]:
        """What a wildcard finds: in the first level, no names that begin with $ [MQTT-4.7.2-1]."""
        if level is not self._root:
            return level.below.values()
        return [below for name, below in level.below.items() if not name.startswith("$")]

    def _put(self, message: Message) -> None:
        level = self._root
        for name in message.topic.split("/"):
            below = level.below.get(name)
            if below is None:
                below = level.below[name] = _Level()
            level = below
        level.message = self._messages[message.topic] = message
        self.stored_bytes += message.size_bytes
        self._count_of[message.principal] += 1
        if message.expires_at is not None:
            self._expect(message.expires_at, message.topic)

    def _expect(self, expires_at: int, topic: str) -> None:
        """Note when to look at a topic. What is noted of messages that were replaced is thrown away now and then."""
        heappush(self._due, (expires_at, topic))
        if len(self._due) > 2 * len(self._messages) + STALE_LIMIT:
            self._due = [
                (each.expires_at, each.topic) for each in self._messages.values() if each.expires_at is not None
            ]
            heapify(self._due)

    def _forget(self, message: Message) -> None:
        self.stored_bytes -= message.size_bytes
        self._count_of[message.principal] -= 1
        if not self._count_of[message.principal]:
            del self._count_of[message.principal]

    def _clear(self, message: Message) -> None:
        """Remove a message that is there, and levels that nobody needs any more."""
        self._forget(message)
        del self._messages[message.topic]
        names = message.topic.split("/")
        path = [self._root]
        for name in names:
            path.append(path[-1].below[name])
        path[-1].message = None
        for name in reversed(names):
            level = path.pop()
            if level.message is not None or level.below:
                return
            del path[-1].below[name]


def _has_expired(message: Message, now: int) -> bool:
    return message.expires_at is not None and message.expires_at <= now
