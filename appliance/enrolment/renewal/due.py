"""When a certificate is to be renewed, whom to ask, and what people are told of it."""

from collections.abc import Collection, Sequence

from appliance.enrolment.renewal.model import Standing, Succession
from appliance.instant import DAY_MS, HOUR_MS, to_text
from appliance.registry.clock.trust import Reading, is_over
from appliance.registry.model import Certificate

ASKED_EVERY_MS = HOUR_MS
"""A device is asked at most this often."""
PATIENCE_MS = DAY_MS
"""So long a device has to use what it got; after that it is asked again, for it may have lost it."""

NOT_CONNECTED = "it is not connected"


def due_at(issued_at: int, expires_at: int) -> int:
    """When two thirds of a certificate's life are over, UTC milliseconds."""
    return issued_at + (expires_at - issued_at) * 2 // 3


def is_ending(issued_at: int, expires_at: int, now: int) -> bool:
    """Whether less than a tenth of a certificate's life is left."""
    return (expires_at - now) * 10 < expires_at - issued_at


def is_to_be_asked(
    certificate: Certificate, successions: Collection[Succession], asked_at: int | None, now: int
) -> bool:
    """Whether the bearer of a certificate is to be asked now; `successions` are those of its device."""
    if now < due_at(certificate.issued_at, certificate.expires_at):
        return False
    if any(each.replaced == certificate.fingerprint and now - each.made_at < PATIENCE_MS for each in successions):
        return False
    # A clock that was set back must not keep it waiting.
    return asked_at is None or not 0 <= now - asked_at < ASKED_EVERY_MS


def present(
    certificates: Sequence[Certificate], shown: str, successions: Collection[Succession], clock: Reading
) -> Certificate | None:
    """The certificate that a device goes by: the one it shows, else the newest that it may show; None without any.

    `certificates` are newest first; `shown` is empty while it is not connected by one.
    """
    unused = {each.fingerprint for each in successions}
    good = [one for one in certificates if one.revoked_at is None and not is_over(one.expires_at, clock)]
    candidates = [one for one in good if one.fingerprint == shown]
    candidates += [one for one in good if one.fingerprint not in unused]
    return candidates[0] if candidates else None


def not_subscribed(topic: str) -> str:
    """The obstacle of a device that is connected and would not hear."""
    return f"it is connected, and has not subscribed to {topic}"


def told(standing: Standing) -> str:
    """How it stands with a renewal, for the person who looks at the device."""
    if standing.renewed_at is not None:
        return f"It was issued a new certificate at {to_text(standing.renewed_at)}, which it has not used yet."
    if standing.asked_at is None and standing.obstacle:
        return f"It cannot be asked to renew: {standing.obstacle}."
    if standing.asked_at is None:
        return "It is to be asked to renew."
    now = f"; now {standing.obstacle}" if standing.obstacle else ""
    return f"It was asked to renew at {to_text(standing.asked_at)}{now}."


def ending(fingerprint: str, expires_at: int, asked_at: int | None) -> str:
    """What is noted of a device whose certificate has little of its life left."""
    asked = "it could not be asked to renew" if asked_at is None else f"it was asked to renew at {to_text(asked_at)}"
    return (
        f"its certificate {fingerprint[:8]}… is good until {to_text(expires_at)}, less than a tenth of its life,"
        f" and no other has taken its place; {asked}"
    )
