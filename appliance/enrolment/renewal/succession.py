"""Which certificates have had their time once a renewed one was used.

Successions make trees: a certificate, those that were renewed with it, those that were renewed with these. Whoever
holds any of them holds it by the one at the root, so they are judged together: a lineage.
"""

from collections.abc import Collection, Iterable

from appliance.enrolment.renewal.model import UNUSED_LIMIT, Succession


class SuccessionBook:
    """The successions under way, by device."""

    def __init__(self) -> None:
        self._of_device: dict[tuple[int, str], dict[str, Succession]] = {}

    def add(self, succession: Succession) -> None:
        """Know one more."""
        self._of_device.setdefault((succession.tenant_id, succession.device_id), {})[succession.fingerprint] = (
            succession
        )

    def remove(self, tenant_id: int, device_id: str, fingerprints: Iterable[str]) -> None:
        """Forget successions by the certificate that takes over; those that are not known are left out."""
        own = self._of_device.get((tenant_id, device_id), {})
        for fingerprint in fingerprints:
            own.pop(fingerprint, None)
        if not own:
            self._of_device.pop((tenant_id, device_id), None)

    def of(self, tenant_id: int, device_id: str) -> tuple[Succession, ...]:
        """Those of one device."""
        return tuple(self._of_device.get((tenant_id, device_id), {}).values())

    def find(self, tenant_id: int, device_id: str, fingerprint: str) -> Succession | None:
        """The one by which this certificate takes over; None when it was not renewed, or was used."""
        return self._of_device.get((tenant_id, device_id), {}).get(fingerprint)


def ended_by(successions: Collection[Succession], fingerprint: str) -> frozenset[str]:
    """The certificates that end when this one is used: its whole lineage but itself and what was renewed with it."""
    root = _root(successions, fingerprint)
    if root == fingerprint:
        return frozenset()
    return frozenset({root} | renewed_with(successions, root)) - renewed_with(successions, fingerprint) - {fingerprint}


def renewed_with(successions: Collection[Succession], fingerprint: str) -> frozenset[str]:
    """The certificates that are descended from this one, without itself."""
    found = {fingerprint}
    while True:
        more = {each.fingerprint for each in successions if each.replaced in found} - found
        if not more:
            return frozenset(found - {fingerprint})
        found |= more


def limit_refusal(successions: Collection[Succession], present: str, day_count: int, day_limit: int) -> str | None:
    """None when one more certificate may be renewed with the present one, else why not.

    `day_count` is how many the device has renewed today.
    """
    unused_count = len(renewed_with(successions, _root(successions, present)))
    if unused_count >= UNUSED_LIMIT:
        return f"there are {unused_count} renewed certificates that were not used: use one of them first"
    if day_count >= day_limit:
        return f"{day_count} certificates were renewed today; at most {day_limit} are: try again tomorrow"
    return None


def subject_refusal(device_id: str, common_name: str, certified_name: str) -> str | None:
    """None when a device may ask for a certificate with this common name, else why not (RFC 7030 4.2.2).

    `certified_name` is the one that its present certificate has. A request without a name is for itself.
    """
    if common_name in ("", device_id, certified_name):
        return None
    return f"the request names {common_name[:140]!r}, but the certificate of this connection is that of {device_id}"


def _root(successions: Collection[Succession], fingerprint: str) -> str:
    """Where the lineage of a certificate begins."""
    replaced = {each.fingerprint: each.replaced for each in successions}
    seen = {fingerprint}
    current = fingerprint
    while current in replaced and replaced[current] not in seen:
        current = replaced[current]
        seen.add(current)
    return current
