"""The catalogue at work, over a real registry."""

import io
import time
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.errors import InvalidInputError
from appliance.registry.bundle import Address
from appliance.registry.catalogue.model import (
    DeviceChange,
    DeviceType,
    Fate,
    Imported,
    InvalidQueryError,
    TypeExistsError,
    UnknownFilterError,
    UnknownTypeError,
)
from appliance.registry.catalogue.service import CERTIFICATES_LIMIT, REPORT, Catalogue
from appliance.registry.model import DeviceExistsError, DeviceState, NewDevice, UnknownDeviceError
from appliance.registry.service import Registry
from appliance.store.database import Database
from broker.ports import Connected, Denied, Principal
from tests.appliance.registry.examples import NOW, FakeClock, credentials, der

OTHER = 2
IMPORT_LIMIT_S = 15.0


@pytest.fixture
async def catalogue(registry: Registry, database: Database, clock: FakeClock) -> AsyncIterator[Catalogue]:
    async with Catalogue(registry, database, clock).opened() as catalogue:
        yield catalogue


def ids(catalogue: Catalogue, text: str, tenant_id: int = 1) -> list[str]:
    return [device.device_id for device in catalogue.find(tenant_id, text)]


async def test_devices_are_found_by_what_is_known_of_them_now(catalogue: Catalogue, registry: Registry) -> None:
    await catalogue.add_device(1, NewDevice("b", zone="north", groups=("x",)))
    await catalogue.add_device(1, NewDevice("a", zone="north", state=DeviceState.PENDING))
    assert ids(catalogue, "") == ids(catalogue, "zone:north") == ["a", "b"]
    assert ids(catalogue, "group:x state:active") == ["b"]
    await catalogue.change_device(1, "b", DeviceChange(zone="south", attributes={"floor": "3"}))
    assert ids(catalogue, "zone:north") == ["a"]
    assert ids(catalogue, "attribute.floor:3") == ["b"]
    registry.note_connected(Connected(1, "b", "b", "192.0.2.7:1", NOW))
    assert (ids(catalogue, "connected:yes"), ids(catalogue, "connected:no")) == (["b"], ["a"])
    assert ids(catalogue, "", OTHER) == []
    with pytest.raises(InvalidQueryError):
        catalogue.find(1, "colour:red")


async def test_what_cannot_be_added_or_changed_is_refused(catalogue: Catalogue) -> None:
    await catalogue.add_device(1, NewDevice("a"))
    with pytest.raises(DeviceExistsError):
        await catalogue.add_device(1, NewDevice("a"))
    with pytest.raises(InvalidInputError):
        await catalogue.add_device(1, NewDevice("b", state=DeviceState.RETIRED))
    with pytest.raises(InvalidInputError):
        await catalogue.change_device(1, "a", DeviceChange(groups=("|",)))
    with pytest.raises(UnknownDeviceError):
        await catalogue.change_device(OTHER, "a", DeviceChange(name="mine"))


@pytest.mark.parametrize(
    "change",
    [
        DeviceChange(type="px"),
        DeviceChange(zone="north"),
        DeviceChange(serial_number="7"),
        DeviceChange(attributes={"line": "2"}),
    ],
)
async def test_whoever_keeps_connections_hears_of_what_rights_hang_on(
    catalogue: Catalogue, registry: Registry, change: DeviceChange
) -> None:
    heard: list[tuple[int, str]] = []
    registry.rights_changed = lambda tenant_id, device_id: heard.append((tenant_id, device_id))
    await catalogue.add_device(1, NewDevice("a"))
    await catalogue.change_device(1, "a", DeviceChange(name="another", notes="more"))
    assert heard == []
    await catalogue.change_device(1, "a", change)
    assert heard == [(1, "a")]


async def test_a_retired_device_has_no_certificate_left(catalogue: Catalogue, registry: Registry) -> None:
    await catalogue.add_device(1, NewDevice("a"))
    bundles = [await registry.issue_certificate(1, "a") for _ in range(2)]
    heard: list[str] = []
    registry.rights_changed = lambda _, device_id: heard.append(device_id)
    await registry.set_state(1, "a", DeviceState.RETIRED)
    assert all(one.revoked_at == NOW for one in await registry.certificates(1, "a"))
    for bundle in bundles:
        answer = registry.authenticate(credentials("a", der(bundle)))
        assert isinstance(answer, Denied)
        assert "was revoked" in answer.reason
    assert heard == ["a"]


async def test_types_say_what_is_expected_of_their_devices(catalogue: Catalogue) -> None:
    pump = DeviceType("pump", units={"pressure": "kPa"}, expected_interval_ms=5_000)
    await catalogue.add_type(1, pump)
    with pytest.raises(TypeExistsError):
        await catalogue.add_type(1, pump)
    await catalogue.add_device(1, NewDevice("a", type="pump"))
    await catalogue.add_device(1, NewDevice("b", type="fan"))
    assert [catalogue.interval_ms(1, device_id) for device_id in ("a", "b", "c")] == [5_000, None, None]
    assert [catalogue.type_of(1, device_id) for device_id in ("a", "b", "c")] == [pump, None, None]
    await catalogue.change_type(1, DeviceType("pump", "Slow", expected_interval_ms=9_000))
    assert catalogue.type(1, "pump").description == "Slow"
    await catalogue.remove_type(1, "pump")
    assert (catalogue.types(1), catalogue.interval_ms(1, "a")) == ([], None)
    with pytest.raises(UnknownTypeError):
        catalogue.type(1, "pump")


async def test_whatever_may_change_the_type_of_a_device_is_counted(catalogue: Catalogue) -> None:
    counts = [catalogue.type_change_count]
    for change in (
        catalogue.add_type(1, DeviceType("pump", units={"pressure": "kPa"})),
        catalogue.add_device(1, NewDevice("a")),
        catalogue.change_device(1, "a", DeviceChange(type="pump")),
        catalogue.change_type(1, DeviceType("pump", units={"pressure": "bar"})),
        catalogue.remove_type(1, "pump"),
    ):
        await change
        counts.append(catalogue.type_change_count)
    assert sorted(set(counts)) == counts


async def test_what_is_kept_is_there_after_a_restart(
    catalogue: Catalogue, registry: Registry, database: Database, clock: FakeClock
) -> None:
    await catalogue.add_type(1, DeviceType("pump"))
    await catalogue.save_filter(1, "mine", "zone:north")
    async with Catalogue(registry, database, clock).opened() as again:
        assert again.types(1) == [DeviceType("pump")]
        assert again.filter(1, "mine").query == "zone:north"
        assert (again.types(OTHER), again.filters(OTHER)) == ([], [])
        with pytest.raises(UnknownFilterError):
            again.filter(OTHER, "mine")


async def test_a_filter_must_be_a_search(catalogue: Catalogue) -> None:
    for query in ("", "  ", "colour:red"):
        with pytest.raises(InvalidInputError):
            await catalogue.save_filter(1, "mine", query)
    await catalogue.save_filter(1, "mine", "a")
    await catalogue.remove_filter(1, "mine")
    assert catalogue.filters(1) == []
    with pytest.raises(UnknownFilterError):
        await catalogue.remove_filter(1, "mine")


async def test_a_dry_run_changes_nothing_and_an_import_does_what_it_said(
    catalogue: Catalogue, registry: Registry
) -> None:
    heard: list[str] = []
    registry.rights_changed = lambda _, device_id: heard.append(device_id)
    await catalogue.add_device(1, NewDevice("a", zone="north"))
    await catalogue.add_device(1, NewDevice("s"))
    content = b"\xef\xbb\xbfdevice_id;zone;state\na;south;\nb;north;pending\ns;;suspended\nb b;;\n"
    plan = await catalogue.plan(1, content)
    assert [row.fate.value for row in plan.rows] == ["changed", "new", "changed", "refused"]
    assert registry.device(1, "a").zone == "north"
    assert not registry.has_device(1, "b")
    done = await catalogue.import_table(1, content, with_certificates=False)
    assert done == Imported(plan)
    assert registry.device(1, "a").zone == "south"
    assert registry.device(1, "b").state is DeviceState.PENDING
    assert heard == ["a", "s"]
    assert isinstance(registry.may_publish(Principal(1, "s"), "sensors/s/telemetry"), Denied)
    again = await catalogue.plan(1, content)
    assert again.count(Fate.UNCHANGED) == 3
    assert registry.devices(OTHER) == []


async def test_an_export_is_of_the_tenants_own_devices_and_imports_as_it_is(catalogue: Catalogue) -> None:
    await catalogue.add_device(1, NewDevice("a", name="=1+1", zone="north", attributes={"floor": "3"}))
    await catalogue.add_device(1, NewDevice("b"))
    text = await catalogue.export(1, "zone:north")
    assert text.splitlines()[1:] == ["a,'=1+1,,north,,active,,,3"]
    assert (await catalogue.plan(1, text.encode())).count(Fate.UNCHANGED) == 1
    assert len((await catalogue.export(OTHER, "")).splitlines()) == 1


async def test_bundles_are_packed_piece_by_piece(catalogue: Catalogue, registry: Registry) -> None:
    content = b"id\n" + b"".join(b"d-%d\n" % number for number in range(120)) + b"b b\n"
    imported = await catalogue.import_table(1, content, with_certificates=True)
    address = Address("gateway.local", 18883, 9443, 8443)
    pieces = [piece async for piece in catalogue.zipped(imported, address, has_programs=True)]
    assert len(pieces) > 2
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.testzip() is None
        assert {name.split("/")[0] for name in archive.namelist()} == {REPORT, *(f"d-{n}" for n in range(120))}
        key = archive.read("d-7/key.pem")
        assert b"gateway.local, port 18883" in archive.read("d-7/README.txt")
        assert b"port=18883" in archive.read("d-7/aws_iot_sdk.py")
        assert b"PRIVATE KEY" in key
        assert b"122,b b,refused" in archive.read(REPORT)
    bundle = next(one for one in imported.bundles if one.device_id == "d-7")
    assert registry.authenticate(credentials("d-7", der(bundle))) == Principal(1, "d-7")


async def test_certificates_are_not_made_for_more_than_fit_into_memory(catalogue: Catalogue) -> None:
    content = b"id\n" + b"".join(b"d-%d\n" % number for number in range(CERTIFICATES_LIMIT + 1))
    with pytest.raises(InvalidInputError, match="in parts"):
        await catalogue.import_table(1, content, with_certificates=True)
    assert catalogue.find(1, "") == []


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_ten_thousand_devices_are_imported_with_certificates_in_time(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    rows = (f"pump-{number},Pump {number},px-100,hall-{number % 9},{number}" for number in range(10_000))
    content = "\n".join(["device_id,name,type,zone,attribute.asset", *rows]).encode()
    # The work of this process: a machine that does something else meanwhile says nothing about it.
    started = time.process_time()
    imported = await catalogue.import_table(1, content, with_certificates=True)
    with (tmp_path / "bundles.zip").open("wb") as out:
        async for piece in catalogue.zipped(imported, Address("gateway.local", 8883, 9443, 8443), has_programs=False):
            out.write(piece)
    took = time.process_time() - started
    assert len(imported.bundles) == 10_000
    assert took <= IMPORT_LIMIT_S, f"took {took:.1f} s"
    started = time.process_time()
    assert len(catalogue.find(1, "pump zone:hall-3 -connected:yes")) == 1_111
    assert time.process_time() - started < 1.0
