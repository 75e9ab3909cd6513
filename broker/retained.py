"""The newest retained message of each topic name: MQTT 3.1.1, section 3.3.1.3.

They lie in a tree of their topics' levels, so that a filter costs what it finds and not what there is.
"""

from collections.abc import Iterable, Iterator

from broker.limits import Limits
from broker.packets import Publish


class _Level:
    """One level of the topic names."""

    __slots__ = ("below", "message")

    def __init__(self) -> None:
        self.below: dict[str, _Level] = {}
        self.message: Publish | None = None


class RetainedMessages:
    """Retained messages of one tenant, bounded by count and bytes."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._messages: dict[str, Publish] = {}
        self._root = _Level()
        self.stored_bytes = 0
        self.refused_count = 0

    def __len__(self) -> int:
        """Count the topics that have a retained message."""
        return len(self._messages)

    def keep(self, message: Publish) -> bool:
        """Put a message in the place of the one before; an empty payload clears it [MQTT-3.3.1-10].

        False when the bounds leave no room: what was kept before stays.
        """
        before = self._messages.get(message.topic)
        grown = self.stored_bytes + len(message.payload) - (len(before.payload) if before else 0)
        if message.payload:
            full = before is None and len(self._messages) >= self._limits.retained_messages
            if full or grown > self._limits.retained_bytes:
                self.refused_count += 1
                return False
            self._put(message)
        elif before is not None:
            self._clear(message.topic)
        self.stored_bytes = grown
        return True

    def matching(self, topic_filter: str) -> Iterator[Publish]:
        """Every retained message whose topic matches the filter."""
        levels = topic_filter.split("/")
        # A stack instead of recursion: its depth is the client's choice.
        waiting = [(self._root, 0)]
        while waiting:
            level, depth = waiting.pop()
            wanted = levels[depth] if depth < len(levels) else None
            # The level itself too: # matches its parent [4.7.1.2].
            if wanted in (None, "#") and level.message is not None:
                yield level.message
            if wanted in ("+", "#"):
                next_depth = depth if wanted == "#" else depth + 1
                waiting += [(below, next_depth) for below in self._below(level)]
            elif wanted is not None and (same := level.below.get(wanted)) is not None:
                waiting.append((same, depth + 1))

    def _below(self, level: _Level) -> Iterable[_Level]:
        """What a wildcard finds: in the first level, no names that begin with $ [MQTT-4.7.2-1]."""
        if level is not self._root:
            return level.below.values()
        return [below for name, below in level.below.items() if not name.startswith("$")]

    def _put(self, message: Publish) -> None:
        level = self._root
        for name in message.topic.split("/"):
            below = level.below.get(name)
            if below is None:
                below = level.below[name] = _Level()
            level = below
        level.message = self._messages[message.topic] = message

    def _clear(self, topic: str) -> None:
        """Remove a message that is there, and levels that nobody needs any more."""
        del self._messages[topic]
        names = topic.split("/")
        path = [self._root]
        for name in names:
            path.append(path[-1].below[name])
        path[-1].message = None
        for name in reversed(names):
            level = path.pop()
            if level.message is not None or level.below:
                return
            del path[-1].below[name]
