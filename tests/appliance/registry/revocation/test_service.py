"""Revocation of many certificates at once."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from appliance.errors import InvalidInputError
from appliance.registry import authority
from appliance.registry.model import DEFAULT_TENANT, Bundle, InvalidIssuerError, RootKeyError, UnknownDeviceError
from appliance.registry.revocation import queries
from appliance.registry.revocation.issuers import Issuer, UnknownIssuerError
from appliance.registry.revocation.service import DEVICES_LIMIT
from appliance.registry.service import Registry
from appliance.store.database import Database, UnwritableError
from broker.ports import Denied
from tests.appliance.full_disk import full_disk
from tests.appliance.registry import issuers
from tests.appliance.registry.examples import NOW, FakeClock, credentials, der

pytestmark = pytest.mark.usefixtures("quick_exports")

PASSPHRASE = "nine blue lamps hum"


async def test_nobody_gets_in_by_a_certificate_of_these_devices_and_their_connections_are_looked_at(
    registry: Registry,
) -> None:
    bundles = {}
    for name in ("pump", "valve", "other"):
        await registry.add_device(DEFAULT_TENANT, name)
        bundles[name] = [await registry.issue_certificate(DEFAULT_TENANT, name) for _ in range(2)]
    changed: list[tuple[int, str]] = []
    registry.rights_changed = lambda *who: changed.append(who)
    assert await registry.revocation.revoke_devices(DEFAULT_TENANT, ["pump", "valve", "pump"]) == 4
    assert changed == [(DEFAULT_TENANT, "pump"), (DEFAULT_TENANT, "valve")]
    refused = {
        name
        for name, issued in bundles.items()
        for each in issued
        if isinstance(registry.authenticate(credentials(name, der(each))), Denied)
    }
    assert refused == {"pump", "valve"}
    entries = await registry.audit.entries(DEFAULT_TENANT, limit=2)
    assert [each.action for each in entries] == ["certificate.revoke"] * 2


async def test_nothing_is_revoked_when_one_of_the_devices_does_not_exist(registry: Registry) -> None:
    await registry.add_device(DEFAULT_TENANT, "pump")
    bundle = await registry.issue_certificate(DEFAULT_TENANT, "pump")
    with pytest.raises(UnknownDeviceError):
        await registry.revocation.revoke_devices(DEFAULT_TENANT, ["pump", "nobody"])
    with pytest.raises(InvalidInputError):
        await registry.revocation.revoke_devices(DEFAULT_TENANT, [str(each) for each in range(DEVICES_LIMIT + 1)])
    assert not isinstance(registry.authenticate(credentials("pump", der(bundle))), Denied)


def heard_by(registry: Registry) -> list[str]:
    heard: list[str] = []

    async def hear() -> None:
        heard.append("everybody")

    registry.revocation.judge_everybody = hear
    return heard


async def in_use(registry: Registry) -> Issuer:
    return (await registry.revocation.issuers(DEFAULT_TENANT))[0]


def refusal(registry: Registry, name: str, bundle: Bundle) -> str:
    answer = registry.authenticate(credentials(name, der(bundle)))
    return answer.reason if isinstance(answer, Denied) else ""


async def test_nothing_that_a_revoked_ca_has_issued_opens_anything_and_a_new_one_issues(registry: Registry) -> None:
    for name in ("pump", "valve"):
        await registry.add_device(DEFAULT_TENANT, name)
    old = await registry.issue_certificate(DEFAULT_TENANT, "pump")
    heard = heard_by(registry)
    before = await in_use(registry)
    done = await registry.revocation.revoke_issuer(DEFAULT_TENANT, before.fingerprint.upper())
    assert (done.certificate_count, heard) == (1, ["everybody"])
    assert done.successor == await in_use(registry)
    assert "was issued by the CA " + before.name in refusal(registry, "pump", old)
    # As a device that is known: the reason is told on its page.
    answer = registry.authenticate(credentials("pump", der(old)))
    assert isinstance(answer, Denied)
    assert answer.of is not None
    fresh = await registry.issue_certificate(DEFAULT_TENANT, "valve")
    assert refusal(registry, "valve", fresh) == ""
    [known] = await registry.certificates(DEFAULT_TENANT, "pump")
    assert known.revoked_at == done.issuer.revoked_at
    listed = x509.load_der_x509_crl(await registry.revocation_list())
    assert [one.serial_number for one in listed] == [int(known.serial, 16)]
    actions = [entry.action for entry in await registry.audit.entries(DEFAULT_TENANT)]
    assert {"issuer.use", "issuer.revoke"} <= set(actions)


async def test_without_the_key_of_the_root_nothing_is_changed_and_it_says_what_to_do(registry: Registry) -> None:
    await registry.add_device(DEFAULT_TENANT, "pump")
    bundle = await registry.issue_certificate(DEFAULT_TENANT, "pump")
    exported = await registry.authorities.export_root(PASSPHRASE)
    await registry.authorities.confirm_export(exported, PASSPHRASE)
    await registry.authorities.remove_root()
    before = await in_use(registry)
    with pytest.raises(RootKeyError, match="ca restore-root"):
        await registry.revocation.revoke_issuer(DEFAULT_TENANT, before.fingerprint)
    assert refusal(registry, "pump", bundle) == ""
    assert await in_use(registry) == before
    await registry.authorities.restore_root(exported, PASSPHRASE)
    await registry.revocation.revoke_issuer(DEFAULT_TENANT, before.fingerprint)
    assert refusal(registry, "pump", bundle)


async def test_a_ca_that_does_not_issue_any_more_is_revoked_and_the_one_in_use_stays(registry: Registry) -> None:
    await registry.add_device(DEFAULT_TENANT, "pump")
    first, old = await in_use(registry), await registry.issue_certificate(DEFAULT_TENANT, "pump")
    await registry.authorities.use_issuer(*issuers.files(*issuers.company()))
    young = await registry.issue_certificate(DEFAULT_TENANT, "pump")
    done = await registry.revocation.revoke_issuer(DEFAULT_TENANT, first.fingerprint)
    assert done.successor is None
    assert (bool(refusal(registry, "pump", old)), refusal(registry, "pump", young)) == (True, "")
    again = await registry.revocation.revoke_issuer(DEFAULT_TENANT, first.fingerprint)
    assert (again.certificate_count, again.issuer) == (0, done.issuer)


async def test_a_restart_knows_what_was_revoked_and_finishes_what_a_crash_left(
    database: Database, tmp_path: Path, clock: FakeClock
) -> None:
    async with Registry(database, tmp_path / "pki", clock).opened() as registry:
        await registry.add_device(DEFAULT_TENANT, "pump")
        bundle = await registry.issue_certificate(DEFAULT_TENANT, "pump")
        first = await in_use(registry)
        await registry.authorities.use_issuer(*issuers.files(*issuers.company()))
        await database.write(queries.insert_issuer, DEFAULT_TENANT, first, NOW)
    async with Registry(database, tmp_path / "pki", clock).opened() as registry:
        assert first.name in refusal(registry, "pump", bundle)
        [known] = await registry.certificates(DEFAULT_TENANT, "pump")
        assert known.revoked_at == NOW
        [kept] = await database.read(queries.select_issuers())
        assert kept.finished_at is not None


async def test_to_revoke_a_ca_again_changes_nothing_but_what_is_missing(registry: Registry) -> None:
    await registry.add_device(DEFAULT_TENANT, "pump")
    await registry.issue_certificate(DEFAULT_TENANT, "pump")
    first = await in_use(registry)
    done = await registry.revocation.revoke_issuer(DEFAULT_TENANT, first.fingerprint)
    entries = await registry.audit.entries(DEFAULT_TENANT)
    again = await registry.revocation.revoke_issuer(DEFAULT_TENANT, first.fingerprint)
    assert (again.issuer, again.certificate_count, again.successor) == (done.issuer, 0, None)
    assert await in_use(registry) == done.successor
    assert await registry.audit.entries(DEFAULT_TENANT) == entries


async def test_a_ca_that_was_revoked_and_issues_all_the_same_is_followed(
    database: Database, tmp_path: Path, clock: FakeClock
) -> None:
    """As after a folder of keys was put back from an old backup."""
    async with Registry(database, tmp_path / "pki", clock).opened() as registry:
        first = await in_use(registry)
        await database.write(queries.insert_issuer, DEFAULT_TENANT, first, NOW)
    async with Registry(database, tmp_path / "pki", clock).opened() as registry:
        await registry.add_device(DEFAULT_TENANT, "pump")
        assert refusal(registry, "pump", await registry.issue_certificate(DEFAULT_TENANT, "pump"))
        done = await registry.revocation.revoke_issuer(DEFAULT_TENANT, first.fingerprint)
        assert done.successor == await in_use(registry)
        assert done.certificate_count == 1
        assert refusal(registry, "pump", await registry.issue_certificate(DEFAULT_TENANT, "pump")) == ""


async def test_a_ca_that_was_revoked_does_not_issue_again_by_another_certificate_of_its_key(
    registry: Registry,
) -> None:
    chain, key = issuers.company()
    await registry.authorities.use_issuer(*issuers.files(chain, key))
    gone = await in_use(registry)
    await registry.revocation.revoke_issuer(DEFAULT_TENANT, gone.fingerprint)
    before = await in_use(registry)
    anew = issuers.make("Another Name", key)
    under_it = authority.make_key()
    below = issuers.make("Under it", under_it, (anew, key))
    for wanted in ((chain, key), ([anew], key), ([below, anew], under_it)):
        with pytest.raises(InvalidIssuerError, match="Example Company Devices, which was revoked at"):
            await registry.authorities.use_issuer(*issuers.files(*wanted))
    assert await in_use(registry) == before
    await registry.authorities.use_issuer(*issuers.files(*issuers.company()))


async def test_a_ca_that_is_being_revoked_is_not_put_back_meanwhile(registry: Registry) -> None:
    chain, key = issuers.company()
    await registry.authorities.use_issuer(*issuers.files(chain, key))
    gone = await in_use(registry)
    refused: list[str] = []

    async def put_back() -> None:
        # Told when the new one issues: the old one is not revoked yet.
        try:
            await registry.authorities.use_issuer(*issuers.files(chain, key))
        except InvalidIssuerError as error:
            refused.append(str(error))

    registry.authorities.tls_changed = put_back
    done = await registry.revocation.revoke_issuer(DEFAULT_TENANT, gone.fingerprint)
    assert [one for one in refused if "is being revoked" in one]
    assert await in_use(registry) == done.successor


async def test_a_ca_that_is_put_back_just_when_it_is_revoked_does_not_go_on_issuing(registry: Registry) -> None:
    chain, key = issuers.company()
    await registry.authorities.use_issuer(*issuers.files(chain, key))
    gone = await in_use(registry)
    await registry.authorities.use_issuer(*issuers.files(*issuers.company()))
    was_allowed, goes_on = threading.Event(), threading.Event()

    def say_and_wait(key: CertificatePublicKeyTypes) -> str | None:
        answer = registry.revocation.key_refusal(key)
        was_allowed.set()
        goes_on.wait(30)
        return answer

    registry.authorities.key_refusal = say_and_wait
    putting_back = asyncio.create_task(registry.authorities.use_issuer(*issuers.files(chain, key)))
    await asyncio.to_thread(was_allowed.wait, 30)
    revoking = asyncio.create_task(registry.revocation.revoke_issuer(DEFAULT_TENANT, gone.fingerprint))
    async with asyncio.timeout(30):
        while registry.revocation.key_refusal(key.public_key()) is None:
            await asyncio.to_thread(threading.Event().wait, 0.01)
    goes_on.set()
    await putting_back
    done = await revoking
    assert done.successor is not None
    assert done.successor == await in_use(registry)
    await registry.add_device(DEFAULT_TENANT, "pump")
    assert refusal(registry, "pump", await registry.issue_certificate(DEFAULT_TENANT, "pump")) == ""


async def test_a_ca_is_followed_when_another_certificate_of_its_key_issues(registry: Registry) -> None:
    chain, key = issuers.company()
    await registry.authorities.use_issuer(*issuers.files(chain, key))
    gone = await in_use(registry)
    await registry.authorities.use_issuer(*issuers.files([issuers.make("Made anew", key)], key))
    done = await registry.revocation.revoke_issuer(DEFAULT_TENANT, gone.fingerprint)
    assert done.successor is not None
    assert done.successor == await in_use(registry)


async def test_a_ca_that_could_not_be_revoked_may_issue_again(registry: Registry, database: Database) -> None:
    chain, key = issuers.company()
    await registry.authorities.use_issuer(*issuers.files(chain, key))
    one = await in_use(registry)
    await registry.authorities.use_issuer(*issuers.files(*issuers.company()))
    async with full_disk(database):
        with pytest.raises(UnwritableError):
            await registry.revocation.revoke_issuer(DEFAULT_TENANT, one.fingerprint)
    await registry.authorities.use_issuer(*issuers.files(chain, key))
    assert await in_use(registry) == one


async def test_a_start_goes_on_when_the_disk_takes_nothing_and_what_is_left_is_done_later(
    database: Database, tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with Registry(database, tmp_path / "pki", clock).opened() as registry:
        await registry.add_device(DEFAULT_TENANT, "pump")
        bundle = await registry.issue_certificate(DEFAULT_TENANT, "pump")
        first = await in_use(registry)
        await registry.authorities.use_issuer(*issuers.files(*issuers.company()))
        await database.write(queries.insert_issuer, DEFAULT_TENANT, first, NOW)
    await database.maintain(lambda connection: connection.execute("PRAGMA busy_timeout = 0"))
    with closing(sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with Registry(database, tmp_path / "pki", clock).opened() as registry:
            assert first.name in refusal(registry, "pump", bundle)
            assert registry.is_revoked(bundle.fingerprint)
            for _ in range(3):
                await registry.revocation.look_after()
            assert caplog.text.count("not marked on disk yet") == 1
            other.execute("ROLLBACK")
            await registry.revocation.look_after()
            [known] = await registry.certificates(DEFAULT_TENANT, "pump")
            assert known.revoked_at == NOW
            [kept] = await database.read(queries.select_issuers())
            assert kept.finished_at is not None


async def test_the_cas_of_the_gateway_are_nothing_to_another_tenant(registry: Registry) -> None:
    issuer = await in_use(registry)
    assert await registry.revocation.issuers(2) == []
    with pytest.raises(UnknownIssuerError):
        await registry.revocation.revoke_issuer(2, issuer.fingerprint)
    with pytest.raises(UnknownIssuerError):
        await registry.revocation.revoke_issuer(DEFAULT_TENANT, "0" * 64)
