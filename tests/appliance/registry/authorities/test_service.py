"""The keys of the device CA while the gateway runs, and what the audit log is told of it."""

import asyncio
from pathlib import Path

import pytest
from cryptography import x509

from appliance.audit.acting import acting_as
from appliance.registry import authority
from appliance.registry.model import (
    DeviceState,
    InvalidIssuerError,
    NewDevice,
    RootKeyError,
    UnknownCertificateError,
)
from appliance.registry.service import Registry
from appliance.store.database import Database
from tests.appliance.full_disk import full_disk
from tests.appliance.registry import issuers
from tests.appliance.registry.examples import FakeClock

pytestmark = pytest.mark.usefixtures("quick_exports")

PASSPHRASE = "nine blue lamps hum"
TENANT = 1


async def told(registry: Registry) -> list[str]:
    return [entry.action for entry in reversed(await registry.audit.entries(TENANT))]


async def test_the_root_leaves_and_comes_back_and_the_log_knows(registry: Registry) -> None:
    authorities = registry.authorities
    exported = await authorities.export_root(PASSPHRASE)
    assert PASSPHRASE not in exported
    # The same key never looks the same.
    assert exported != await authorities.export_root(PASSPHRASE)
    await authorities.confirm_export(exported, PASSPHRASE)
    await authorities.remove_root()
    assert authorities.status().root_key == "removed"
    with pytest.raises(RootKeyError, match="passphrase"):
        await authorities.restore_root(exported, "some other words")
    await authorities.restore_root(exported, PASSPHRASE)
    assert authorities.status().root_key == "exported"
    assert await told(registry) == [
        *("root.export", "root.export", "root.export_confirm", "root.remove", "root.restore")
    ]
    assert (await registry.audit.verify(TENANT)).fault == ""


async def test_devices_are_issued_certificates_while_the_root_is_away(registry: Registry) -> None:
    await registry.add_device(TENANT, "a")
    await registry.authorities.confirm_export(await registry.authorities.export_root(PASSPHRASE), PASSPHRASE)
    await registry.authorities.remove_root()
    assert (await registry.issue_certificate(TENANT, "a")).key_pem


async def test_another_issuer_is_used_at_once_and_listeners_hear_of_it(registry: Registry) -> None:
    heard = asyncio.Event()

    async def hear() -> None:
        heard.set()

    registry.authorities.tls_changed = hear
    await registry.add_device(TENANT, "a")
    chain, key = issuers.company()
    status = await registry.authorities.use_issuer(*issuers.files(chain, key))
    assert not status.issuer_is_ours
    assert heard.is_set()
    shown = x509.load_pem_x509_certificates((await registry.issue_certificate(TENANT, "a")).chain_pem.encode())
    assert shown[1] == chain[0]
    listener = authority.read_certificate(registry.device_tls().certificate.read_bytes())
    assert listener.issuer == chain[0].subject


async def test_a_ca_that_was_changed_while_the_disk_was_full_is_in_the_log_once_it_is_not_and_shown_at_once(
    registry: Registry, database: Database
) -> None:
    heard: list[str] = []

    async def hear() -> None:
        heard.append(registry.device_tls().certificate.read_text())

    registry.authorities.tls_changed = hear
    chain, key = issuers.company()
    async with full_disk(database):
        with acting_as("ann@example.com"):
            status = await registry.authorities.use_issuer(*issuers.files(chain, key))
        assert not status.issuer_is_ours
        assert await told(registry) == []
        assert len(heard) == 1
    await registry.catch_up()
    assert await told(registry) == ["issuer.use", "server_certificate.renew"]
    assert {entry.actor for entry in await registry.audit.entries(TENANT)} == {"ann@example.com"}
    await registry.catch_up()
    assert (len(heard), len(await told(registry))) == (1, 2)


class Listeners:
    """Hear that there are other certificates, unless they are broken."""

    def __init__(self) -> None:
        self.are_broken = True
        self.told_count = 0

    async def tell(self) -> None:
        if self.are_broken:
            raise OSError("no descriptors left")
        self.told_count += 1


async def test_listeners_that_could_not_be_told_are_told_later(registry: Registry) -> None:
    listeners = Listeners()
    registry.authorities.tls_changed = listeners.tell
    with pytest.raises(OSError, match="descriptors"):
        await registry.authorities.use_issuer(*issuers.files(*issuers.company()))
    listeners.are_broken = False
    for _ in range(2):
        await registry.catch_up()
        assert listeners.told_count == 1


async def test_server_certificates_that_the_disk_does_not_take_are_issued_once_it_does(
    registry: Registry, tmp_path: Path
) -> None:
    heard = 0

    async def hear() -> None:
        nonlocal heard
        heard += 1

    registry.authorities.tls_changed = hear
    before = registry.device_tls().certificate.read_bytes()
    # A folder in the place of the file that is written first.
    (tmp_path / "pki" / "mqtt.pem.unfinished").mkdir()
    await registry.authorities.use_issuer(*issuers.files(*issuers.company()))
    assert registry.authorities.is_behind
    assert registry.device_tls().certificate.read_bytes() == before
    assert await told(registry) == ["issuer.use"]
    (tmp_path / "pki" / "mqtt.pem.unfinished").rmdir()
    heard = 0
    await registry.catch_up()
    assert (heard, registry.authorities.is_behind) == (1, False)
    assert registry.device_tls().certificate.read_bytes() != before
    assert await told(registry) == ["issuer.use", "server_certificate.renew"]


async def test_while_they_cannot_be_issued_listeners_hear_of_what_has_changed_and_the_log_of_a_reason_once(
    registry: Registry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[tuple[bytes, bytes]] = []
    folder = tmp_path / "pki"

    async def hear() -> None:
        heard.append(((folder / "device-trust.pem").read_bytes(), (folder / "mqtt.pem").read_bytes()))

    registry.authorities.tls_changed = hear
    before, shown = (folder / "device-trust.pem").read_bytes(), (folder / "mqtt.pem").read_bytes()
    (folder / "web.pem.unfinished").mkdir()
    (folder / "mqtt.pem.unfinished").mkdir()
    (folder / "web.pem").write_bytes(shown)
    await registry.authorities.use_issuer(*issuers.files(*issuers.company()))
    # Of the CA that is trusted from now on, though no certificate by it can be shown yet.
    [(trust, unchanged)] = heard
    assert (trust != before, unchanged == shown) == (True, True)
    for _ in range(3):
        await registry.catch_up()
    assert (len(heard), caplog.text.count("not issued again, tried until they are")) == (1, 1)
    # The first of them can be issued, the second cannot: another reason, and something to be shown.
    (folder / "mqtt.pem.unfinished").rmdir()
    for _ in range(3):
        await registry.catch_up()
        assert registry.authorities.is_behind
    assert (len(heard), caplog.text.count("not issued again, tried until they are")) == (2, 2)
    assert heard[1][1] != shown
    (folder / "web.pem.unfinished").rmdir()
    for _ in range(3):
        await registry.catch_up()
        assert not registry.authorities.is_behind
    assert len(heard) == 3


async def test_listeners_that_could_not_be_told_are_told_though_certificates_cannot_be_issued(
    registry: Registry, tmp_path: Path
) -> None:
    listeners = Listeners()
    registry.authorities.tls_changed = listeners.tell
    (tmp_path / "pki" / "mqtt.pem.unfinished").mkdir()
    with pytest.raises(OSError, match="descriptors"):
        await registry.authorities.use_issuer(*issuers.files(*issuers.company()))
    listeners.are_broken = False
    for _ in range(3):
        await registry.catch_up()
        assert (listeners.told_count, registry.authorities.is_behind) == (1, True)


async def test_two_who_find_one_due_do_not_issue_it_twice(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "pki" / "mqtt.pem").write_bytes((tmp_path / "pki" / "web.pem").read_bytes())
    await asyncio.gather(*(registry.authorities.show_changes() for _ in range(3)))
    assert await told(registry) == ["server_certificate.renew"]


async def test_a_ca_that_the_disk_does_not_take_is_not_used_after_the_next_start(
    registry: Registry, database: Database, tmp_path: Path, clock: FakeClock
) -> None:
    before = registry.authorities.status().issuer
    (tmp_path / "pki" / "device-trust.pem.unfinished").mkdir()
    with pytest.raises(OSError, match="directory"):
        await registry.authorities.use_issuer(*issuers.files(*issuers.company()))
    assert registry.authorities.status().issuer == before
    (tmp_path / "pki" / "device-trust.pem.unfinished").rmdir()
    async with Registry(database, tmp_path / "pki", clock).opened() as again:
        assert again.authorities.status().issuer == before
        assert await told(again) == []


async def test_an_issuer_that_is_none_changes_nothing(registry: Registry) -> None:
    before = registry.authorities.status()
    with pytest.raises(InvalidIssuerError):
        await registry.authorities.use_issuer(b"nothing", b"nothing")
    assert registry.authorities.status() == before
    assert await told(registry) == []


async def test_a_revoked_certificate_is_on_the_list_at_once_and_until_it_expires(
    registry: Registry, clock: FakeClock
) -> None:
    await registry.add_device(TENANT, "a")
    bundle = await registry.issue_certificate(TENANT, "a")
    first = await registry.revocation_list()
    assert len(x509.load_der_x509_crl(first)) == 0
    assert await registry.revocation_list() == first
    await registry.revoke_certificate(TENANT, "a", bundle.fingerprint)
    serial = x509.load_pem_x509_certificate(bundle.certificate_pem.encode()).serial_number
    listed = x509.load_der_x509_crl(await registry.revocation_list())
    assert [one.serial_number for one in listed] == [serial]
    clock.now = bundle.expires_at
    assert len(x509.load_der_x509_crl(await registry.revocation_list())) == 0


async def test_issuing_revoking_and_state_changes_are_in_the_log(registry: Registry) -> None:
    await registry.add_device(TENANT, "a")
    bundle = await registry.issue_certificate(TENANT, "a")
    await registry.revoke_certificate(TENANT, "a", bundle.fingerprint)
    await registry.set_state(TENANT, "a", DeviceState.SUSPENDED)
    await registry.issue_many(TENANT, [NewDevice("a"), NewDevice("b")])
    assert [action for action in await told(registry) if action.startswith(("certificate.", "device.state"))] == [
        *("certificate.issue", "certificate.revoke", "device.state", "certificate.issue", "certificate.issue")
    ]


async def test_what_was_refused_is_not_told_as_done(registry: Registry) -> None:
    await registry.add_device(TENANT, "a")
    before = await told(registry)
    with pytest.raises(UnknownCertificateError):
        await registry.revoke_certificate(TENANT, "a", "0" * 64)
    assert await told(registry) == before
