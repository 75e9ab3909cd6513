"""The issuing CA's key in a token: what is issued is believed, and without the token only issuing stops."""

import asyncio
import itertools
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from appliance.config import CaConfig
from appliance.registry import authority, pki
from appliance.registry.hardware.model import HardwareBusyError, HardwareKeyError, PinRefusedError
from appliance.registry.hardware.service import WAITING_LIMIT
from appliance.registry.hardware.token import Token
from appliance.registry.model import (
    DEFAULT_TENANT,
    InvalidIssuerError,
    IssuerKeyError,
    KeyFolderError,
    NewDevice,
    RootKeyError,
)
from appliance.registry.service import Registry
from appliance.store.database import Database
from broker.ports import Principal
from tests.appliance.registry import issuers
from tests.appliance.registry.examples import NOW, FakeClock, credentials, der
from tests.appliance.registry.hardware.softhsm import Shelf, needs_softhsm

pytestmark = needs_softhsm
LABELS = map("ca-{}".format, itertools.count())
PASSPHRASE = "correct horse battery"


@pytest.fixture
def settings(shelf: Shelf) -> CaConfig:
    return shelf.add(next(LABELS))


@pytest.fixture
def token(registry: Registry, settings: CaConfig) -> Iterator[Token]:
    registry.authorities.token = Token(settings)
    with closing(registry.authorities.token) as token:
        yield token


def request() -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(authority.make_key(), hashes.SHA256()).public_bytes(serialization.Encoding.DER)


async def test_what_the_token_signs_opens_the_door_and_what_was_issued_before_does_so_still(
    registry: Registry, token: Token, tmp_path: Path
) -> None:
    await registry.add_device(DEFAULT_TENANT, "old")
    before = await registry.issue_certificate(DEFAULT_TENANT, "old")
    status = await registry.authorities.use_hardware(b"")
    assert (status.issuer_key, status.issuer_is_ours) == ("hardware", True)
    await registry.add_device(DEFAULT_TENANT, "new")
    granted = await registry.grant_certificate(DEFAULT_TENANT, "new", request())
    leaf = x509.load_pem_x509_certificate(granted.certificate_pem.encode())
    leaf.verify_directly_issued_by(registry.authorities.pki.issuing.certificate)
    registry.authorities.pki.issuing.certificate.verify_directly_issued_by(registry.authorities.pki.root)
    shown = ssl.PEM_cert_to_DER_cert(granted.certificate_pem)
    for device_id, certificate in (("new", shown), ("old", der(before))):
        assert isinstance(registry.authenticate(credentials(device_id, certificate)), Principal)
    assert not list((tmp_path / "pki").glob("issuer-*.key"))
    assert registry.authorities.hardware_status().ok
    [entry] = [one for one in await registry.audit.entries(DEFAULT_TENANT) if one.action == "issuer.use"]
    assert '"key":"hardware"' in entry.details


async def test_the_revocation_list_is_signed_in_the_token(registry: Registry, token: Token) -> None:
    await registry.authorities.use_hardware(b"")
    await registry.issue_many(DEFAULT_TENANT, [NewDevice("a")])
    [certificate] = await registry.certificates(DEFAULT_TENANT, "a")
    await registry.revoke_certificate(DEFAULT_TENANT, "a", certificate.fingerprint)
    listed = x509.load_der_x509_crl(await registry.revocation_list())
    assert listed.is_signature_valid(registry.authorities.pki.issuing.certificate.public_key())  # type: ignore[arg-type]
    assert len(listed) == 1


async def test_after_a_restart_the_token_signs_again_and_without_it_devices_connect_all_the_same(
    database: Database, registry: Registry, token: Token, settings: CaConfig, shelf: Shelf, tmp_path: Path
) -> None:
    issued = await registry.authorities.use_hardware(b"")
    [bundle] = await registry.issue_many(DEFAULT_TENANT, [NewDevice("a")])
    token.close()

    def again() -> Registry:
        started = Registry(database, tmp_path / "pki", FakeClock(NOW))
        started.authorities.token = Token(settings)
        return started

    async with again().opened() as second:
        assert second.authorities.status().issuer == issued.issuer
        await second.issue_certificate(DEFAULT_TENANT, "a")
    shelf.take_away()
    async with again().opened() as third:
        assert isinstance(third.authenticate(credentials("a", der(bundle))), Principal)
        status = third.authorities.hardware_status()
        assert (status.ok, status.is_serving) == (False, True)
        assert "Devices that have one connect as before" in status.summary
        with pytest.raises(HardwareKeyError, match="is it"):
            await third.issue_certificate(DEFAULT_TENANT, "a")
        with pytest.raises(HardwareKeyError):
            await third.revocation_list()
        shelf.bring_back()
        await third.issue_certificate(DEFAULT_TENANT, "a")
        assert third.authorities.hardware_status().ok
    async with Registry(database, tmp_path / "pki", FakeClock(NOW)).opened() as without_settings:
        assert "ca.pkcs11_module names none" in without_settings.authorities.hardware_status().summary
        assert "hardware key" in without_settings.parts()


async def test_what_cannot_sign_does_not_become_the_issuer(registry: Registry, token: Token, shelf: Shelf) -> None:
    before = registry.authorities.status()
    shelf.show_pin("0815")
    with pytest.raises(PinRefusedError):
        await registry.authorities.use_hardware(b"")
    assert registry.authorities.status() == before
    await registry.add_device(DEFAULT_TENANT, "a")
    await registry.issue_certificate(DEFAULT_TENANT, "a")


async def test_a_ca_from_elsewhere_signs_the_tokens_key(registry: Registry, token: Token) -> None:
    asked = x509.load_pem_x509_csr((await registry.authorities.hardware_request()).encode())
    with pytest.raises(InvalidIssuerError, match="holds no certificate"):
        await registry.authorities.use_hardware(b"nonsense")
    key = authority.make_key()
    root = authority.Authority(authority.make_root(key, NOW), key)
    with pytest.raises(InvalidIssuerError, match="does not belong"):
        await registry.authorities.use_hardware(authority.certificate_pem(root.certificate).encode())
    validity = authority.Validity(authority.EPOCH_AT, NOW + authority.AUTHORITY_LENGTH_MS)
    signed = (
        authority._builder(asked.subject, asked.public_key(), root.certificate.subject, validity)  # type: ignore[arg-type]
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    status = await registry.authorities.use_hardware(authority.certificate_pem(signed, root.certificate).encode())
    assert (status.issuer_key, status.issuer_is_ours) == ("hardware", False)
    [name] = signed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert str(name.value) in status.issuer_name
    await registry.issue_many(DEFAULT_TENANT, [NewDevice("a")])


async def test_the_keys_on_disk_go_when_the_token_issues_and_the_gateway_starts_without_them(
    database: Database, registry: Registry, token: Token, settings: CaConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "pki"
    await registry.authorities.use_issuer(*issuers.files(*issuers.company()))
    with pytest.raises(IssuerKeyError, match="is used: it is on this gateway"):
        await registry.authorities.remove_issuer_keys()
    await registry.authorities.use_hardware(b"")
    names = {path.name for path in (folder / "issuing.key", *folder.glob("issuer-*.key"))}
    assert set(await registry.authorities.remove_issuer_keys()) == names
    assert not [name for name in names if (folder / name).exists()]
    [entry] = [one for one in await registry.audit.entries(DEFAULT_TENANT) if one.action == "issuer.remove_keys"]
    assert "issuing.key" in entry.details
    with pytest.raises(IssuerKeyError, match="nothing was removed"):
        await registry.authorities.remove_issuer_keys()
    token.close()
    again = Registry(database, folder, FakeClock(NOW))
    again.authorities.token = Token(settings)
    async with again.opened():
        [bundle] = await again.issue_many(DEFAULT_TENANT, [NewDevice("a")])
        assert isinstance(again.authenticate(credentials("a", der(bundle))), Principal)
        gone = (await again.revocation.issuers(DEFAULT_TENANT))[0]
        # A CA of the gateway's own follows, as ever.
        done = await again.revocation.revoke_issuer(DEFAULT_TENANT, gone.fingerprint)
        assert done.successor is not None
        with pytest.raises(InvalidIssuerError, match="which was revoked at"):
            await again.authorities.use_hardware(b"")
        assert again.authorities.status().issuer == done.successor.fingerprint
    (folder / "issuer").unlink()
    with pytest.raises(KeyFolderError, match="issuer: it is missing"):
        pki.opened(folder, "gateway", NOW)


async def test_no_key_on_disk_goes_while_the_token_holds_another_or_does_not_sign(
    registry: Registry, token: Token, settings: CaConfig, shelf: Shelf, tmp_path: Path
) -> None:
    await registry.authorities.use_hardware(b"")
    other = Token(msgspec.structs.replace(settings, pkcs11_key="another"))
    with closing(other):
        other.key()
        registry.authorities.pki.issuing.key._signer = other  # type: ignore[union-attr]
        with pytest.raises(HardwareKeyError, match="signed with another key"):
            await registry.authorities.remove_issuer_keys()
    registry.authorities.pki.issuing.key._signer = token  # type: ignore[union-attr]
    token.close()
    shelf.take_away()
    with pytest.raises(HardwareKeyError):
        await registry.authorities.remove_issuer_keys()
    shelf.bring_back()
    assert (tmp_path / "pki" / "issuing.key").exists()
    assert await registry.authorities.remove_issuer_keys() == ["issuing.key"]


@pytest.mark.usefixtures("quick_exports")
async def test_without_the_roots_key_there_is_nobody_to_sign_for_the_token(registry: Registry, token: Token) -> None:
    exported = await registry.authorities.export_root(PASSPHRASE)
    await registry.authorities.confirm_export(exported, PASSPHRASE)
    await registry.authorities.remove_root()
    with pytest.raises(RootKeyError, match="restore-root"):
        await registry.authorities.use_hardware(b"")


async def test_many_ask_at_once_and_each_is_served_in_turn_until_too_many_wait(
    registry: Registry, token: Token
) -> None:
    await registry.authorities.use_hardware(b"")
    await registry.add_device(DEFAULT_TENANT, "a")
    asking = [registry.issue_certificate(DEFAULT_TENANT, "a") for _ in range(WAITING_LIMIT + 5)]
    answers = await asyncio.gather(*asking, return_exceptions=True)
    refused = [each for each in answers if isinstance(each, BaseException)]
    assert len(refused) == 5
    assert all(isinstance(each, HardwareBusyError) for each in refused)
    await registry.issue_certificate(DEFAULT_TENANT, "a")


async def test_who_gives_up_waiting_leaves_the_token_in_order(registry: Registry, token: Token) -> None:
    await registry.authorities.use_hardware(b"")
    await registry.add_device(DEFAULT_TENANT, "a")
    for _ in range(5):
        waiting = asyncio.ensure_future(registry.issue_certificate(DEFAULT_TENANT, "a"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await registry.issue_certificate(DEFAULT_TENANT, "a")
    assert not token.trouble
