"""The catalogue at work: types and saved filters in memory, searches answered from it, tables in and out.

Rules: memory changes only after the commit. A private key of a device is made, handed out once, and
never kept.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Self

from appliance.errors import InvalidInputError
from appliance.instant import Clock
from appliance.registry import bundle, record
from appliance.registry import queries as registry_queries
from appliance.registry.bundle import Address
from appliance.registry.catalogue import queries, search, table
from appliance.registry.catalogue.archive import Archive
from appliance.registry.catalogue.model import (
    FILTERS_LIMIT,
    TYPES_LIMIT,
    DeviceChange,
    DeviceType,
    Facts,
    Fate,
    Imported,
    InvalidQueryError,
    Plan,
    SavedFilter,
    UnknownFilterError,
    UnknownTypeError,
    check_filter_name,
    check_type,
)
from appliance.registry.model import Bundle, Device, DeviceState, NewDevice, check_new_device
from appliance.registry.service import Registry
from appliance.store.database import Database

log = logging.getLogger(__name__)

CERTIFICATES_LIMIT = 10_000
"""How many devices one import may make certificates for: their bundles are held in memory until they are sent."""

ANSWERS_LIMIT = 64
"""So many searches are remembered with what they found."""

REPORT = "import.csv"
"""In the zip file of an import: what became of each row."""

ZIP_PIECE_COUNT = 100
"""So many bundles are packed at a time, between which the gateway does other things."""


class Catalogue:
    """What is known of the devices of the registry, and every way to find and change it."""

    def __init__(self, registry: Registry, database: Database, clock: Clock) -> None:
        self._registry = registry
        self._database = database
        self._clock = clock
        self._types: dict[int, dict[str, DeviceType]] = {}
        self._filters: dict[int, dict[str, SavedFilter]] = {}
        self._facts: dict[tuple[int, str], Facts] = {}
        self._answers: dict[tuple[int, search.Query], tuple[int, list[Device]]] = {}
        self._importing = asyncio.Lock()
        self._type_change_count = 0

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Self]:
        """Have types and filters in memory; the registry must be open."""
        for tenant_id, kind in await self._database.read(queries.select_all_types()):
            self._types.setdefault(tenant_id, {})[kind.name] = kind
        for tenant_id, kept in await self._database.read(queries.select_all_filters()):
            self._filters.setdefault(tenant_id, {})[kept.name] = kept
        yield self

    # For whoever asks: from memory, at once.

    def find(self, tenant_id: int, text: str) -> list[Device]:
        """The devices that a search finds, sorted by device id. Raises `InvalidQueryError`."""
        query = search.parse(text)
        if not query.terms:
            return self._registry.devices(tenant_id)
        if query.asks_presence:
            return self._found(tenant_id, query)
        # An open page asks the same twice a second.
        at, found = self._answers.pop((tenant_id, query), (-1, []))
        if at != self._registry.device_change_count:
            at, found = self._registry.device_change_count, self._found(tenant_id, query)
        self._answers[tenant_id, query] = (at, found)
        if len(self._answers) > ANSWERS_LIMIT:
            del self._answers[next(iter(self._answers))]
        return list(found)

    def find_some(self, tenant_id: int, text: str) -> list[Device]:
        """The same of a search that says something: without a word it would find every device.

        Raises `InvalidQueryError`.
        """
        if not search.parse(text).terms:
            raise InvalidQueryError("the search is empty, so it would find every device: say what to search for")
        return self.find(tenant_id, text)

    def groups(self, tenant_id: int) -> dict[str, int]:
        """Every group by its name, sorted, and how many devices are in it."""
        counts: dict[str, int] = {}
        for device in self._registry.devices(tenant_id):
            for group in device.groups:
                counts[group] = counts.get(group, 0) + 1
        return dict(sorted(counts.items()))

    def types(self, tenant_id: int) -> list[DeviceType]:
        """Every type that was described, sorted by name."""
        known = self._types.get(tenant_id, {})
        return [known[name] for name in sorted(known)]

    def type(self, tenant_id: int, name: str) -> DeviceType:
        """One type. Raises `UnknownTypeError`."""
        known = self._types.get(tenant_id, {}).get(name)
        if known is None:
            raise UnknownTypeError(f"no type is named {name[:80]!r}")
        return known

    def type_of(self, tenant_id: int, device_id: str) -> DeviceType | None:
        """The type of a device; None when it has none that was described."""
        known = self._types.get(tenant_id)
        if not known or not self._registry.has_device(tenant_id, device_id):
            return None
        return known.get(self._registry.device(tenant_id, device_id).type)

    @property
    def type_change_count(self) -> int:
        """Goes up whenever a type, or the type of a device, may be another: what was made of them may be old."""
        return self._type_change_count + self._registry.device_change_count

    def interval_ms(self, tenant_id: int, device_id: str) -> int | None:
        """How often a device is expected to be heard of, by its type; None when nothing is expected or known."""
        kind = self.type_of(tenant_id, device_id)
        return kind.expected_interval_ms if kind else None

    def filters(self, tenant_id: int) -> list[SavedFilter]:
        """Every search that was kept, sorted by name."""
        known = self._filters.get(tenant_id, {})
        return [known[name] for name in sorted(known)]

    def filter(self, tenant_id: int, name: str) -> SavedFilter:
        """One search that was kept. Raises `UnknownFilterError`."""
        known = self._filters.get(tenant_id, {}).get(name)
        if known is None:
            raise UnknownFilterError(f"no filter is named {name[:80]!r}")
        return known

    # What changes the catalogue.

    async def add_device(self, tenant_id: int, new: NewDevice) -> Device:
        """Register a device with all that is told of it.

        Raises `InvalidDeviceIdError`, `InvalidInputError`, `DeviceExistsError`.
        """
        if new.state is DeviceState.RETIRED:
            raise InvalidInputError("a device cannot begin its life retired")
        check_new_device(new)
        device = await self._registry.audit.told(
            tenant_id, lambda one: record.added([one]), registry_queries.insert_device, tenant_id, new, self._clock()
        )
        self._registry.take_in(tenant_id, [device])
        log.info("device added tenant_id=%s device_id=%s", tenant_id, new.device_id)
        return device

    async def change_device(self, tenant_id: int, device_id: str, change: DeviceChange) -> Device:
        """Have another word kept of a device. Raises `UnknownDeviceError`, `InvalidInputError`."""
        before, device = await self._registry.audit.told(
            tenant_id, lambda both: record.changed(*both), queries.change_device, tenant_id, device_id, change
        )
        self._registry.take_in(tenant_id, [device])
        if _rights_hang_on(device) != _rights_hang_on(before):
            self._registry.rights_changed(tenant_id, device_id)
        log.info("device changed tenant_id=%s device_id=%s", tenant_id, device_id)
        return device

    async def add_type(self, tenant_id: int, told: DeviceType) -> DeviceType:
        """Describe a type. Raises `InvalidInputError`, `TypeExistsError`."""
        if len(self._types.get(tenant_id, {})) >= TYPES_LIMIT:
            raise InvalidInputError(f"there are {TYPES_LIMIT:,} types already: more are not kept")
        await self._registry.audit.recorded(
            tenant_id,
            record.described(None, told, told.name),
            queries.insert_type,
            tenant_id,
            check_type(told),
            self._clock(),
        )
        return self._keep_type(tenant_id, told)

    async def change_type(self, tenant_id: int, told: DeviceType) -> DeviceType:
        """Describe a type otherwise. Raises `InvalidInputError`, `UnknownTypeError`."""
        before = self.type(tenant_id, told.name)
        await self._registry.audit.recorded(
            tenant_id, record.described(before, told, told.name), queries.update_type, tenant_id, check_type(told)
        )
        return self._keep_type(tenant_id, told)

    async def remove_type(self, tenant_id: int, name: str) -> None:
        """Forget what is known of a type; its devices keep the word. Raises `UnknownTypeError`."""
        entries = record.forgotten(self.type(tenant_id, name), name)
        await self._registry.audit.recorded(tenant_id, entries, queries.delete_type, tenant_id, name)
        self._types.get(tenant_id, {}).pop(name, None)
        self._type_change_count += 1
        log.info("device type removed tenant_id=%s name=%r", tenant_id, name)

    async def save_filter(self, tenant_id: int, name: str, text: str) -> SavedFilter:
        """Keep a search under a name. Raises `InvalidInputError`, `InvalidQueryError`."""
        check_filter_name(name)
        if not search.parse(text).terms:
            raise InvalidInputError("a filter without a search would find every device: say what to search for")
        known = self._filters.setdefault(tenant_id, {})
        if name not in known and len(known) >= FILTERS_LIMIT:
            raise InvalidInputError(f"there are {FILTERS_LIMIT} filters already: remove one first")
        kept = SavedFilter(name, text.strip())
        await self._database.write(queries.put_filter, tenant_id, kept, self._clock())
        known[name] = kept
        log.info("device filter saved tenant_id=%s name=%r", tenant_id, name)
        return kept

    async def remove_filter(self, tenant_id: int, name: str) -> None:
        """Forget a search. Raises `UnknownFilterError`."""
        await self._database.write(queries.delete_filter, tenant_id, name)
        self._filters.get(tenant_id, {}).pop(name, None)
        log.info("device filter removed tenant_id=%s name=%r", tenant_id, name)

    # Tables.

    async def export(self, tenant_id: int, text: str) -> str:
        """The devices that a search finds, as CSV. Raises `InvalidQueryError`."""
        found = self.find(tenant_id, text)
        return await asyncio.to_thread(lambda: table.written(found, table.attribute_keys(found)))

    async def plan(self, tenant_id: int, content: bytes, mapping: Mapping[str, str] | None = None) -> Plan:
        """What an import would do; nothing is changed. Without a mapping the columns' own names say what they are.

        Raises `InvalidTableError`.
        """
        known = {device.device_id: device for device in self._registry.devices(tenant_id)}

        def planned() -> Plan:
            read = table.read(content)
            return table.plan(read, table.guessed(read.columns) if mapping is None else mapping, known)

        return await asyncio.to_thread(planned)

    async def import_table(
        self, tenant_id: int, content: bytes, mapping: Mapping[str, str] | None = None, *, with_certificates: bool
    ) -> Imported:
        """Add and change devices by a table, in one transaction; with certificates, each new device has one.

        Rows that are refused are left out and told. Raises `InvalidTableError`, `ConflictError`.
        """
        async with self._importing:
            plan = await self.plan(tenant_id, content, mapping)
            news, changes = plan.wanted(Fate.NEW), plan.wanted(Fate.CHANGED)
            if with_certificates and len(news) > CERTIFICATES_LIMIT:
                raise InvalidInputError(
                    f"{len(news):,} devices are new; certificates are made for at most {CERTIFICATES_LIMIT:,} at once:"
                    " import the table in parts"
                )
            before = {row.before.device_id: row.before for row in plan.rows if row.before is not None}
            named = [new.device_id for new in news] if with_certificates else []
            issued = await self._registry.made_certificates(named)
            kept = [one.kept for one in issued]
            refused_count = plan.count(Fate.REFUSED)
            devices = await self._registry.audit.told(
                tenant_id,
                lambda found: record.imported(before, found, kept, refused_count),
                queries.write_import,
                tenant_id,
                news,
                [(before[new.device_id], new) for new in changes],
                kept,
                self._clock(),
            )
            self._registry.take_in(tenant_id, devices, kept)
        for device in devices:
            was = before.get(device.device_id)
            if was is None:
                continue
            if was.state is DeviceState.ACTIVE and device.state is not DeviceState.ACTIVE:
                self._registry.gone(tenant_id, device.device_id)
            if _rights_hang_on(was) != _rights_hang_on(device):
                self._registry.policy_changed(tenant_id, device.device_id)
        log.info(
            "devices imported tenant_id=%s new_count=%s changed_count=%s refused_count=%s certificate_count=%s",
            tenant_id,
            len(news),
            len(changes),
            refused_count,
            len(kept),
        )
        return Imported(plan, tuple(one.bundle for one in issued))

    async def zipped(self, imported: Imported, address: Address, *, has_programs: bool) -> AsyncIterator[bytes]:
        """The bundles as one zip file, a folder for each device, piece by piece; the keys are nowhere else.

        `address` is where the devices will connect. What became of each row stands in `import.csv`.
        """
        archive = Archive(self._clock())
        packed = partial(_packed, archive, address=address, has_programs=has_programs)
        yield archive.added(REPORT, table.report(imported.plan).encode())
        for start in range(0, len(imported.bundles), ZIP_PIECE_COUNT):
            piece = imported.bundles[start : start + ZIP_PIECE_COUNT]
            yield await asyncio.to_thread(packed, piece)
        yield archive.ended()

    def _found(self, tenant_id: int, query: search.Query) -> list[Device]:
        return [
            device
            for device in self._registry.devices(tenant_id)
            if search.matches(
                query,
                self._facts_of(device),
                connected=query.asks_presence and self._registry.presence(tenant_id, device.device_id).connected,
            )
        ]

    def _facts_of(self, device: Device) -> Facts:
        key = (device.tenant_id, device.device_id)
        known = self._facts.get(key)
        if known is None or known.device is not device:
            known = self._facts[key] = search.facts_of(device)
        return known

    def _keep_type(self, tenant_id: int, told: DeviceType) -> DeviceType:
        self._types.setdefault(tenant_id, {})[told.name] = told
        self._type_change_count += 1
        log.info("device type described tenant_id=%s name=%r", tenant_id, told.name)
        return told


def _packed(archive: Archive, bundles: Sequence[Bundle], *, address: Address, has_programs: bool) -> bytes:
    return b"".join(
        archive.added(f"{device_id}/{name}", content)
        for device_id, files in bundle.of_many(bundles, address, has_programs=has_programs)
        for name, content in files.items()
    )


def _rights_hang_on(device: Device) -> tuple[object, ...]:
    """What policies may ask of a device."""
    return (device.state, device.type, device.zone, device.serial_number, device.attributes)
