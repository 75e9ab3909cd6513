"""How long a session lasts, and when it is worth noting that it was used."""

import msgspec

from appliance.accounts.model import Session
from appliance.instant import MINUTE_MS


class Lifetime(msgspec.Struct, frozen=True):
    """The two ends of a session: unused for too long, or simply too old."""

    idle_ms: int
    length_ms: int

    def earliest_created_at(self, now: int) -> int:
        """A session that was created at this moment or before is too old."""
        return now - self.length_ms

    def earliest_seen_at(self, now: int) -> int:
        """A session that was last used at this moment or before was unused for too long."""
        return now - self.idle_ms

    def has_ended(self, session: Session, now: int) -> bool:
        """Whether the session is over."""
        return self.ends_at(session) <= now

    def ends_at(self, session: Session) -> int:
        """When the session is over unless it is used before then."""
        return min(session.created_at + self.length_ms, session.seen_at + self.idle_ms)

    def is_worth_noting(self, session: Session, now: int) -> bool:
        """Whether its use should be written down: not at each request, each would be a write to the card."""
        return now - session.seen_at >= min(MINUTE_MS, self.idle_ms // 10)
