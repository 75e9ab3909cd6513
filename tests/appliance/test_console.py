import base64
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance import control
from appliance.console import EVERY_ADDRESS, NAME, Console, Erase, Issued, reached
from appliance.control import ControlError
from appliance.errors import ConflictError, InvalidInputError
from appliance.registry.bundle import Address
from appliance.registry.catalogue.model import InvalidQueryError
from appliance.registry.catalogue.service import Catalogue
from appliance.registry.model import InvalidDeviceIdError, UnknownDeviceError
from appliance.registry.service import Registry
from appliance.store.database import Database
from appliance.telemetry.keeping.queries import select_erasures
from appliance.telemetry.keeping.service import erased_at_next_start
from broker.ports import Connected
from tests.appliance.examples import NOW, accounts_of, registered, stored
from tests.appliance.registry.own_authorities.makers import Company


def catalogue_of(registry: Registry, database: Database) -> Catalogue:
    return Catalogue(registry, database, lambda: NOW)


def erase_of(database: Database) -> Erase:
    return partial(erased_at_next_start, database, lambda: NOW)


@contextlib.asynccontextmanager
async def console(folder: Path) -> AsyncIterator[tuple[Registry, Console]]:
    async with stored(folder) as database, registered(database, folder) as registry:
        yield (
            registry,
            Console(
                registry, accounts_of(database), "gateway.local", catalogue_of(registry, database), erase_of(database)
            ),
        )


async def call(console: Console, call_name: str, **arguments: Any) -> Any:
    return await console.calls()[call_name](arguments)


async def test_devices_are_registered_and_each_is_given_its_bundle_and_where_to_connect(tmp_path: Path) -> None:
    async with console(tmp_path) as (registry, asked):
        registry.reached = Address("gateway.local", 18883, 9443, 8443)
        devices = [{"device_id": "pump-1", "name": "Pump"}, {"device_id": "pump-2", "zone": "north"}]
        issued = await call(asked, "device.add", devices=devices)
        assert [bundle.device_id for bundle in issued.bundles] == ["pump-1", "pump-2"]
        assert (issued.address, issued.local_host) == (registry.reached, "gateway.local")
        assert registry.device(1, "pump-1").name == "Pump"
        assert registry.zone_of(1, "pump-2") == "north"


@pytest.mark.parametrize("listening", EVERY_ADDRESS)
def test_who_listens_at_every_address_tells_devices_the_name_in_the_lan(listening: str) -> None:
    assert reached(listening, 1, None, 2) == Address("", 1, None, 2)
    assert reached("192.0.2.7", 1, 3, 2) == Address("192.0.2.7", 1, 3, 2)


async def test_a_device_that_is_known_is_given_one_more_bundle(tmp_path: Path) -> None:
    async with console(tmp_path) as (registry, asked):
        for _ in range(2):
            await call(asked, "device.add", devices=[{"device_id": "pump-1"}])
        assert len(await registry.certificates(1, "pump-1")) == 2


async def test_one_impossible_device_among_others_changes_nothing(tmp_path: Path) -> None:
    async with console(tmp_path) as (registry, asked):
        with pytest.raises(InvalidDeviceIdError):
            await call(asked, "device.add", devices=[{"device_id": "pump-1"}, {"device_id": "pump/#"}])
        assert registry.devices(1) == []


async def test_devices_are_listed_with_what_they_are_and_whether_they_are_connected(tmp_path: Path) -> None:
    async with console(tmp_path) as (registry, asked):
        await call(asked, "device.add", devices=[{"device_id": "pump-2"}, {"device_id": "pump-1"}])
        registry.note_connected(Connected(1, "pump-2", "pump-2", "192.168.1.7", NOW))
        listed = await call(asked, "device.list")
        shown = [(device["device_id"], device["connected"], device["state"]) for device in listed]
        assert shown == [("pump-1", False, "active"), ("pump-2", True, "active")]


async def test_readings_of_known_devices_are_erased_and_of_unknown_ones_nothing(tmp_path: Path) -> None:
    async with stored(tmp_path) as database, registered(database, tmp_path) as registry:
        asked = Console(
            registry, accounts_of(database), "gateway.local", catalogue_of(registry, database), erase_of(database)
        )
        await call(asked, "device.add", devices=[{"device_id": "pump-1"}])
        with pytest.raises(UnknownDeviceError):
            await call(asked, "device.erase", device_ids=["pump-1", "pump-2"])
        assert await database.read(select_erasures()) == []
        assert await call(asked, "device.erase", device_ids=["pump-1"]) == ["pump-1"]
        assert [each.device_id for each in await database.read(select_erasures())] == ["pump-1"]


async def test_what_a_search_finds_is_erased_if_it_is_what_was_expected(tmp_path: Path) -> None:
    async with stored(tmp_path) as database, registered(database, tmp_path) as registry:
        asked = Console(
            registry, accounts_of(database), "gateway.local", catalogue_of(registry, database), erase_of(database)
        )
        devices = [{"device_id": f"cuff-{each}", "attributes": {"owner": each}} for each in ("anna", "bert")]
        await call(asked, "device.add", devices=[*devices, {"device_id": "ring", "attributes": {"owner": "Anna"}}])
        search = "attribute.owner:anna"
        assert await call(asked, "device.find", search=search) == ["cuff-anna", "ring"]
        wrongs: tuple[dict[str, Any], ...] = ({}, {"count": 3}, {"device_ids": ["cuff-anna"]})
        for wrong in wrongs:
            with pytest.raises((ConflictError, InvalidInputError)):
                await call(asked, "device.erase_found", search=search, agreed=wrong)
        for empty in ("", " ", '""'):
            with pytest.raises(InvalidQueryError, match="would find every device"):
                await call(asked, "device.erase_found", search=empty, agreed={"count": 3})
        assert await database.read(select_erasures()) == []
        assert await call(asked, "device.erase_found", search=search, agreed={"count": 2}) == ["cuff-anna", "ring"]
        assert [each.device_id for each in await database.read(select_erasures())] == ["cuff-anna", "ring"]
        told = [(each.actor, each.action, each.subject) for each in await registry.audit.entries(1, limit=3)]
        assert told == [
            (NAME, "telemetry.erase", "ring"),
            (NAME, "telemetry.erase", "cuff-anna"),
            (NAME, "telemetry.erase_many", search),
        ]


async def test_a_claim_is_given_until_there_is_an_owner(tmp_path: Path) -> None:
    async with stored(tmp_path) as database, registered(database, tmp_path) as registry:
        accounts = accounts_of(database)
        asked = Console(registry, accounts, "gateway.local", catalogue_of(registry, database), erase_of(database))
        await accounts.claim(await call(asked, "claim"), "maria@example.com", "correct horse battery staple")
        with pytest.raises(ConflictError):
            await call(asked, "claim")


async def test_a_token_opens_what_its_tenant_may(tmp_path: Path) -> None:
    async with stored(tmp_path) as database, registered(database, tmp_path) as registry:
        accounts = accounts_of(database)
        token = await call(
            Console(registry, accounts, "gateway.local", catalogue_of(registry, database), erase_of(database)),
            "token.add",
            name="backup script",
        )
        assert (await accounts.user_of_token(token)).tenant_id == 1


async def test_what_is_answered_over_the_socket_is_what_was_answered_here(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with console(tmp_path) as (registry, asked), control.serving(path, asked.calls()):
        answer = await control.ask(path, "device.add", {"devices": [{"device_id": "pump-1"}]})
        [bundle] = msgspec.convert(answer, Issued).bundles
        [certificate] = await registry.certificates(1, "pump-1")
        assert bundle.fingerprint == certificate.fingerprint
        assert [device["device_id"] for device in await control.ask(path, "device.list", {})] == ["pump-1"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("device.add", {}), ("device.add", {"devices": [{}]}), ("device.add", {"devices": 7}), ("token.add", {})],
)
async def test_wrong_arguments_are_said_to_be_wrong(tmp_path: Path, name: str, arguments: dict[str, Any]) -> None:
    path = tmp_path / "control.sock"
    async with console(tmp_path) as (_, asked), control.serving(path, asked.calls()):
        with pytest.raises(ControlError, match=f"{name}: wrong arguments"):
            await control.ask(path, name, arguments)


async def test_a_table_is_tried_and_then_imported_with_a_bundle_for_each_new_device(tmp_path: Path) -> None:
    content = base64.b64encode(b"device_id,zone\na,north\nb b,north\n").decode()
    async with console(tmp_path) as (registry, asked):
        tried = await call(asked, "device.import", content=content, dry_run=True, certificates=False)
        assert [(row.line, row.fate) for row in tried.rows] == [(2, "new"), (3, "refused")]
        assert registry.devices(1) == []
        done = await call(asked, "device.import", content=content, dry_run=False, certificates=True)
        assert done.counts == {"new": 1, "changed": 0, "unchanged": 0, "refused": 1}
        assert [bundle.device_id for bundle in done.issued.bundles] == ["a"]
        assert registry.device(1, "a").zone == "north"


async def test_a_ca_of_ones_own_is_registered_changed_and_removed(tmp_path: Path) -> None:
    company = Company()
    async with console(tmp_path) as (_, asked):
        code = await call(asked, "ca.code")
        files = {"certificate": company.pem, "proof": company.proof(code)}
        told = {name: base64.b64encode(content).decode() for name, content in files.items()}
        made = await call(asked, "ca.register", **told, settings={"mode": "provision", "daily_limit": 7})
        [listed] = await call(asked, "ca.own")
        assert (listed["subject"], listed["device_count"]) == ("CN=Example Factory", 0)
        number = made.authority_number
        changed = await call(asked, "ca.change", authority_number=number, settings={"mode": "inactive"})
        assert (changed.settings.mode, changed.settings.daily_limit) == ("inactive", 7)
        assert await call(asked, "ca.remove", authority_number=number) == 0
        assert await call(asked, "ca.own") == []
