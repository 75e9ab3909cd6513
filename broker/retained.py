"""The newest retained message of each topic name: MQTT 3.1.1, section 3.3.1.3."""

from collections.abc import Iterator

from broker.limits import Limits
from broker.packets import Publish
from broker.topics import matches


class RetainedMessages:
    """Retained messages of one tenant, bounded by count and bytes."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._messages: dict[str, Publish] = {}
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
            self._messages[message.topic] = message
        else:
            self._messages.pop(message.topic, None)
        self.stored_bytes = grown
        return True

    def matching(self, topic_filter: str) -> Iterator[Publish]:
        """Every retained message whose topic matches the filter."""
        if "+" not in topic_filter and "#" not in topic_filter:
            message = self._messages.get(topic_filter)
            if message is not None:
                yield message
            return
        for topic, message in self._messages.items():
            if matches(topic_filter, topic):
                yield message
