"""What every way of telling people has in common."""

from typing import Protocol

from appliance.errors import ApplianceError
from appliance.notifications.model import Notice


class ChannelError(ApplianceError):
    """An attempt to send failed."""

    code = "not_sent"

    def __init__(self, reason: str, *, permanent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        """In words for the person who waits for the notice; without secrets."""
        self.permanent = permanent
        """The same attempt can never succeed: it is not made again."""


class Channel(Protocol):
    """A way of telling people. The same notice may come twice, after a crash: it must be recognisable."""

    async def send(self, notice: Notice) -> None:
        """Hand a notice over; when this returns, somebody else answers for it.

        Raises `ChannelError`, and nothing else.
        """
