"""Which requests of a batch are too many of one device, however the batch is cut where it cannot be done as a whole."""

from collections.abc import Sequence

from appliance.commands.jobs.topics import JobAddress
from broker.message import Message

ASKED_LIMIT = 50
"""Requests for the jobs of a device in one batch: what one device asks for all others wait for."""

Asked = tuple[Message, JobAddress]


class Turns:
    """Knows the requests of the batch that was looked at last."""

    def __init__(self) -> None:
        self._batch: dict[int, Message] = {}
        """By their identities, which nothing else can have as long as they are here."""
        self._beyond: frozenset[int] = frozenset()

    def beyond(self, asked: Sequence[Asked]) -> frozenset[int]:
        """The identities of those that are too many: of a part of the batch, as they were of the whole."""
        if all(id(message) in self._batch for message, _ in asked):
            return self._beyond
        self._batch, self._beyond = {}, frozenset()
        if len(asked) > ASKED_LIMIT:
            self._batch = {id(message): message for message, _ in asked}
            self._beyond = frozenset(_too_many(asked))
        return self._beyond


def _too_many(asked: Sequence[Asked]) -> list[int]:
    counts: dict[tuple[int, str], int] = {}
    found: list[int] = []
    for message, address in asked:
        device = (message.tenant_id, address.device_id)
        counts[device] = counts.get(device, 0) + 1
        if counts[device] > ASKED_LIMIT:
            found.append(id(message))
    return found
