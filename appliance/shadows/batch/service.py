"""The shadows that one transaction asks for: each is read once and written once, however often it changes in between.

Rules:
- Whoever asks sees what was asked for before in the same transaction.
- A request that fails for whatever reason is answered and changes nothing.
- Nothing is trimmed in a long statement: what goes is about as much as what came.
"""

import logging
import sqlite3

from appliance.plane_settings import ShadowsConfig
from appliance.shadows import queries
from appliance.shadows.model import Address
from appliance.shadows.ruling import Change, Ruling, Standing, refused, rule

log = logging.getLogger(__name__)

DELETED_KEPT = 100
"""Named shadows of a device that were deleted and whose versions are remembered, those deleted last."""

Key = tuple[int, str, str]
"""Tenant, device, name."""


class _Held:
    """A shadow in the hands of a transaction."""

    __slots__ = ("changes", "number", "standing")

    def __init__(self, number: int | None, standing: Standing) -> None:
        self.number = number
        self.standing = standing
        self.changes: list[tuple[str, Change]] = []
        """Those that are not written yet, each with who made it."""


class Batch:
    """The shadows of one transaction."""

    def __init__(self, connection: sqlite3.Connection, config: ShadowsConfig, now: int) -> None:
        self._connection = connection
        self._config = config
        self._now = now
        self._held: dict[Key, _Held] = {}
        self._changed: set[Key] = set()

    def settle(self, tenant_id: int, address: Address, payload: bytes, author: str) -> Ruling:
        """Decide about one request, and keep in hand what comes of it."""
        key = (tenant_id, address.device_id, address.name)
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = _Held(*queries.select_standing(self._connection, *key))
        try:
            ruling = rule(address, payload, held.standing, self._config.document_bytes, self._now)
        except Exception:
            # One bad request stops nobody, and its own words are not logged.
            log.exception("request to a shadow not served tenant_id=%s device_id=%s", tenant_id, address.device_id)
            return refused(500, "Internal service failure", self._now, None)
        if ruling.standing is None or ruling.change is None:
            return ruling
        if held.number is None or held.standing.document is None:
            full = self._refused_for_room(key, held, ruling.token)
            if full is not None:
                return full
        held.standing = ruling.standing
        held.changes.append((author, ruling.change))
        self._changed.add(key)
        return ruling

    def write(self) -> None:
        """Write all that changed."""
        changed, self._changed = self._changed, set()
        grown: dict[int, int] = {}
        for key in changed:
            held, tenant_id = self._held[key], key[0]
            if held.number is None:
                held.number = queries.insert_shadow(self._connection, *key, held.standing)
            else:
                queries.update_shadow(self._connection, tenant_id, held.number, held.standing)
            grown[tenant_id] = grown.get(tenant_id, 0) + self._write_history(tenant_id, held.number, held)
        for tenant_id, byte_count in grown.items():
            self._trim(tenant_id, byte_count)

    def _write_history(self, tenant_id: int, number: int, held: _Held) -> int:
        """Write the changes of a shadow and forget its oldest ones; give how many bytes more are kept."""
        limit = self._config.history_changes
        kept = held.changes[-limit:] if limit else []
        step, before = max(limit // 10, 1), held.changes[0][1].version - 1
        held.changes = []
        grown = queries.insert_changes(self._connection, tenant_id, number, kept)
        over = held.standing.version - limit
        # A few at once: to look for one costs as much.
        if over > 0 and before // step != held.standing.version // step:
            grown -= queries.delete_old_changes(self._connection, tenant_id, number, over)
        return grown

    def _trim(self, tenant_id: int, byte_count: int) -> None:
        """Keep the changes of all shadows within their room: the oldest go, some more than came."""
        total = queries.update_history_bytes(self._connection, tenant_id, byte_count)
        gone = 0
        while total - gone > self._config.history_mb * 1_000_000 and gone <= max(byte_count, 0):
            some = queries.delete_oldest_changes(self._connection, tenant_id)
            if not some:
                break
            gone += some
        if gone:
            queries.update_history_bytes(self._connection, tenant_id, -gone)

    def _refused_for_room(self, key: Key, held: _Held, token: str | None) -> Ruling | None:
        """None when a shadow may come to be, else why not. The classic one always may."""
        tenant_id, device_id, name = key
        if not name:
            return None
        self.write()
        count, deleted_count = queries.count_named(self._connection, tenant_id, device_id)
        limit = self._config.per_device
        if count >= limit:
            told = f"The device has {limit} named shadows and no more are kept: delete one first"
            return refused(400, told, self._now, token)
        if held.number is None and deleted_count >= DELETED_KEPT:
            self._forget_deleted(tenant_id, device_id)
        return None

    def _forget_deleted(self, tenant_id: int, device_id: str) -> None:
        """Forget the version of the shadow that was deleted first, and its history."""
        number, name = queries.select_oldest_deleted(self._connection, tenant_id, device_id)
        gone = 0
        while some := queries.delete_old_changes(self._connection, tenant_id, number, _ANY_VERSION):
            gone += some
        queries.update_history_bytes(self._connection, tenant_id, -gone)
        queries.delete_shadow(self._connection, tenant_id, number)
        self._held.pop((tenant_id, device_id, name), None)


_ANY_VERSION = 2**62
