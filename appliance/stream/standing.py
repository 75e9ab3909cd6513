"""Whether everybody who reads the log under a name keeps up."""

from collections.abc import Mapping, Sequence

from appliance.health import Status
from appliance.stream.model import Consumer, Lag

Key = tuple[int, str]
"""A tenant and the name of its consumer."""


def standing(
    consumers: Mapping[Key, Consumer], lags: Mapping[Key, Lag], hold_bytes: int, now: int, tenant_id: int | None
) -> Status:
    """How the consumers of a tenant are doing, by name; or those of all tenants, whose names nobody else is told.

    `hold_bytes` is how much of a tenant's log is kept for who lags.
    """
    mine = {key: each for key, each in consumers.items() if tenant_id in (None, key[0])}
    theirs = {key: lags[key] for key in mine.keys() & lags.keys()}
    gaps = [name for (_, name), each in sorted(mine.items()) if each.gap]
    slow = [name for (_, name), lag in sorted(theirs.items()) if lag.size_bytes * 2 > hold_bytes]
    oldest = min((lag.oldest_at for lag in theirs.values() if lag.oldest_at is not None), default=None)
    details = {
        "consumers": len(mine),
        "lag_bytes": max((lag.size_bytes for lag in theirs.values()), default=0),
        "lag_reports": max((lag.report_count for lag in theirs.values()), default=0),
        "lag_ms": 0 if oldest is None else max(0, now - oldest),
    }
    if gaps:
        told = f"the log was trimmed past {_told(gaps, tenant_id)}: page Stream tells what is missing"
        return Status(ok=False, summary=told, details=details, is_serving=True)
    if slow:
        told = f"behind by more than half of what is kept for consumers: {_told(slow, tenant_id)}"
        return Status(ok=False, summary=told, details=details, is_serving=True)
    return Status(ok=True, summary=f"consumers that keep up: {len(mine)}", details=details)


def _told(names: Sequence[str], tenant_id: int | None) -> str:
    if tenant_id is not None:
        return ", ".join(names)
    return "1 consumer" if len(names) == 1 else f"{len(names)} consumers"
