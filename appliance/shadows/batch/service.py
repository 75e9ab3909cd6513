"""The shadows that one transaction asks for: each is read once and written once, however often it changes in between.

Rules:
- Whoever asks sees what was asked for before in the same transaction.
- A request that fails for whatever reason is answered and changes nothing.
- Nothing is trimmed in a long statement: what goes is about as much as what came.
"""

import logging
import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from appliance.errors import kind_of, place_of
from appliance.plane_settings import ShadowsConfig
from appliance.shadows import queries
from appliance.shadows.model import Address
from appliance.shadows.packing.service import Packing
from appliance.shadows.ruling import Change, Ruling, Standing, refused, rule, unforeseen

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
        self._step = max(config.history_changes // 10, 1)
        self._now = now
        self._packing = Packing(connection, config)
        self._held: dict[Key, _Held] = {}
        self._counts: dict[int, int] = {}
        """Shadows of each tenant to whom one was added, with those that are not written yet."""
        self._changed: dict[Key, None] = {}
        self._found: dict[Key, queries.Found | None] = {}
        """What was looked up and not asked for yet."""

    def look_up(self, keys: Iterable[Key]) -> None:
        """Look up at once what will be asked for: one by one takes twice as long."""
        by_tenant: dict[int, list[Key]] = {}
        for key in dict.fromkeys(keys):
            by_tenant.setdefault(key[0], []).append(key)
        for tenant_id, wanted in by_tenant.items():
            found = queries.select_standings(self._connection, tenant_id, [key[1:] for key in wanted])
            self._found.update(zip(wanted, found, strict=True))

    def settle(self, tenant_id: int, address: Address, payload: bytes, author: str) -> Ruling:
        """Decide about one request, and keep in hand what comes of it."""
        key = (tenant_id, address.device_id, address.name)
        try:
            held = self._held.get(key)
            if held is None:
                if key not in self._found:
                    self.look_up([key])
                held = self._held[key] = _Held(*queries.standing(self._found.pop(key)))
            ruling = rule(address, payload, held.standing, self._config.document_bytes, self._now)
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001  one bad request stops nobody
            # Its own words are not logged.
            told = (tenant_id, address.device_id, kind_of(error), place_of(error))
            log.error("request to a shadow not served tenant_id=%s device_id=%s error=%s where=\n%s", *told)  # noqa: TRY400
            return unforeseen(self._now)
        if ruling.standing is None or ruling.change is None:
            return ruling
        if held.standing.document is None:
            full = self._refused_for_room(key, held, ruling.token)
            if full is not None:
                return full
        held.standing = ruling.standing
        held.changes.append((author, ruling.change))
        self._changed[key] = None
        return ruling

    def write(self) -> None:
        """Write all that changed."""
        changed, self._changed = self._changed, {}
        become: list[tuple[int, int, Standing]] = []
        made: dict[int, list[tuple[int, str, Change]]] = {}
        old: list[tuple[int, int, int]] = []
        due: list[tuple[int, int, Standing]] = []
        limit = self._config.history_changes
        for key in changed:
            held, tenant_id = self._held[key], key[0]
            number = held.number
            if number is None:
                number = held.number = self._add(key, held.standing)
            else:
                become.append((tenant_id, number, held.standing))
            first, last = held.changes[0][1].version, held.standing.version
            if self._packing.is_due(number, first, last):
                due.append((tenant_id, number, held.standing))
            # A few at once: to look for one costs as much.
            elif not self._packing.is_on and last > limit and (first - 1) // self._step != last // self._step:
                old.append((tenant_id, number, last - limit))
            kept = held.changes[-limit:] if limit else []
            made.setdefault(tenant_id, []).extend([(number, author, change) for author, change in kept])
            held.changes = []
        queries.update_shadows(self._connection, become)
        self._write_history(made, old, due)

    def _add(self, key: Key, standing: Standing) -> int:
        """Write a shadow that there was not, and give its number."""
        number = queries.insert_shadow(self._connection, *key, standing)
        queries.update_totals(self._connection, key[0], shadow_count=1)
        return number

    def _write_history(
        self,
        made: Mapping[int, Sequence[tuple[int, str, Change]]],
        old: Sequence[tuple[int, int, int]],
        due: Sequence[tuple[int, int, Standing]],
    ) -> None:
        """Write changes by tenant; forget those of a tenant's shadow up to a version; pack those of others."""
        grown = {
            tenant_id: queries.insert_changes(self._connection, tenant_id, changes)
            for tenant_id, changes in made.items()
        }
        for tenant_id, number, through_version in old:
            grown[tenant_id] -= queries.delete_old_changes(self._connection, tenant_id, number, through_version)
        for tenant_id, number, standing in due:
            grown[tenant_id] += self._packing.pack(tenant_id, number, standing)
        for tenant_id, byte_count in grown.items():
            self._trim(tenant_id, byte_count)

    def _trim(self, tenant_id: int, byte_count: int) -> None:
        """Keep the changes of all shadows within their room: the oldest go, some more than came."""
        total = queries.update_totals(self._connection, tenant_id, byte_count=byte_count)
        gone = 0
        while total - gone > self._config.history_mb * 1_000_000 and gone <= max(byte_count, 0):
            some = queries.delete_oldest_changes(self._connection, tenant_id)
            if not some:
                break
            gone += some
        if gone:
            queries.update_totals(self._connection, tenant_id, byte_count=-gone)

    def _refused_for_room(self, key: Key, held: _Held, token: str | None) -> Ruling | None:
        """None when a shadow may come to be, else why not."""
        told = self._full_device(key, held) if key[2] else None
        if told is None and held.standing.version == 0:
            told = self._full_tenant(key[0])
        return None if told is None else refused(400, told, self._now, token)

    def _full_device(self, key: Key, held: _Held) -> str | None:
        """Why a device may have no named shadow more. The classic one it may always have."""
        tenant_id, device_id, _ = key
        self.write()
        count, deleted_count = queries.count_named(self._connection, tenant_id, device_id)
        limit = self._config.per_device
        if count >= limit:
            return f"The device has {limit} named shadows and no more are kept: delete one first"
        if held.standing.version == 0 and deleted_count >= DELETED_KEPT:
            self._forget(tenant_id, queries.select_oldest_deleted(self._connection, tenant_id, device_id))
        return None

    def _full_tenant(self, tenant_id: int) -> str | None:
        """Why there may be no shadow more. One that was deleted is forgotten for one that comes to be."""
        count = self._counts.get(tenant_id)
        if count is None:
            self.write()
            count = self._counts[tenant_id] = queries.select_shadow_count(self._connection, tenant_id)
        limit = self._config.per_tenant
        if count >= limit:
            self.write()
            if not self._forget(tenant_id, queries.select_first_deleted(self._connection, tenant_id)):
                return f"There are {limit} shadows and no more are kept: delete some first"
        self._counts[tenant_id] += 1
        return None

    def _forget(self, tenant_id: int, deleted: tuple[int, str, str] | None) -> bool:
        """Forget the version of a shadow that was deleted, and its history; False when there is none."""
        if deleted is None:
            return False
        number, device_id, name = deleted
        gone = 0
        while some := queries.delete_old_changes(self._connection, tenant_id, number, _ANY_VERSION):
            gone += some
        queries.delete_shadow(self._connection, tenant_id, number)
        queries.update_totals(self._connection, tenant_id, shadow_count=-1, byte_count=-gone)
        self._held.pop((tenant_id, device_id, name), None)
        self._found.pop((tenant_id, device_id, name), None)
        if tenant_id in self._counts:
            self._counts[tenant_id] -= 1
        return True


_ANY_VERSION = 2**62
