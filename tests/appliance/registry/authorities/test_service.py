"""The keys of the device CA while the gateway runs, and what the audit log is told of it."""

import asyncio

import pytest
from cryptography import x509

from appliance.registry import authority
from appliance.registry.model import (
    DeviceState,
    InvalidIssuerError,
    NewDevice,
    RootKeyError,
    UnknownCertificateError,
)
from appliance.registry.service import Registry
from tests.appliance.registry import issuers
from tests.appliance.registry.examples import FakeClock

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
