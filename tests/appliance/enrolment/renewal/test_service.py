import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.enrolment.renewal import queries as renewal_queries
from appliance.enrolment.renewal.model import (
    UNUSED_LIMIT,
    EndedCertificateError,
    TooManyRenewalsError,
    WrongSubjectError,
)
from appliance.enrolment.renewal.service import Renewal
from appliance.instant import DAY_MS
from appliance.registry import queries
from appliance.registry.model import DEFAULT_TENANT, Granted, InvalidRequestError
from appliance.registry.own_authorities.model import Mode, Settings
from appliance.registry.service import Registry
from appliance.store.database import Database, UnwritableError
from tests.appliance.enrolment.renewal.clients import (
    Broker,
    bound,
    connect,
    connected,
    der,
    may_connect,
    until_refused,
)
from tests.appliance.enrolment.renewal.conftest import RENEWALS_A_DAY
from tests.appliance.enrolment.requests import request
from tests.appliance.registry import issuers
from tests.appliance.registry.examples import FakeClock
from tests.appliance.registry.own_authorities.makers import Company, registered, shown


async def test_both_are_good_until_the_new_one_was_used(renewal: Renewal, registry: Registry, first: bytes) -> None:
    second = der(await renewal.renew(bound(registry, first), request("pump-7")))
    for _ in range(3):
        assert connect(registry, first)
    assert connect(registry, second)
    await until_refused(registry, first)
    assert connect(registry, second)


async def test_who_is_not_let_in_has_used_nothing(
    renewal: Renewal, registry: Registry, first: bytes, broker: Broker
) -> None:
    """The certificate was good; the broker may refuse the CONNECT for what else it says."""
    second = der(await renewal.renew(bound(registry, first), request("pump-7")))
    assert may_connect(registry, second)
    assert not may_connect(registry, second, "pump-8")
    assert await broker.said_nothing()
    assert len(renewal.successions(1, "pump-7")) == 1
    assert may_connect(registry, first)
    # Until it is let in, by whatever name.
    registry.note_connected(connected(second, client_id="pump-7-spare"))
    await until_refused(registry, first)


async def test_what_is_under_way_outlives_a_restart(
    database: Database, registry: Registry, first: bytes, broker: Broker
) -> None:
    async with Renewal(database, registry, 10).running(broker) as renewal:
        second = der(await renewal.renew(bound(registry, first), request("")))
    assert connect(registry, second)
    async with Renewal(database, registry, 10).running(broker):
        assert connect(registry, second)
        await until_refused(registry, first)


async def test_others_that_were_asked_for_and_not_used_end_with_the_old_one(
    renewal: Renewal, registry: Registry, first: bytes
) -> None:
    second, third = [der(await renewal.renew(bound(registry, first), request("pump-7"))) for _ in range(2)]
    beside = der(await renewal.renew(bound(registry, second), request("pump-7")))
    assert connect(registry, third)
    for ended in (first, second, beside):
        await until_refused(registry, ended)
    assert connect(registry, third)


async def test_a_device_does_not_renew_as_another(renewal: Renewal, registry: Registry, first: bytes) -> None:
    await registry.add_device(1, "pump-8")
    with pytest.raises(WrongSubjectError, match="pump-8"):
        await renewal.renew(bound(registry, first), request("pump-8"))
    with pytest.raises(InvalidRequestError):
        await renewal.renew(bound(registry, first), b"nonsense")
    assert len(await registry.certificates(1, "pump-7")) == 1


async def test_who_renews_without_end_has_to_use_one_first(renewal: Renewal, registry: Registry, first: bytes) -> None:
    made = [der(await renewal.renew(bound(registry, first), request("pump-7"))) for _ in range(UNUSED_LIMIT)]
    for present in (first, made[-1]):
        with pytest.raises(TooManyRenewalsError, match="use one of them first"):
            await renewal.renew(bound(registry, present), request("pump-7"))
    assert connect(registry, made[0])
    await until_refused(registry, made[1])
    await until_refused(registry, first)
    renewed = await renewal.renew(bound(registry, made[0]), request("pump-7"))
    assert renewed.device_id == "pump-7"


async def test_renewals_at_the_same_time_do_not_pass_the_limit(
    renewal: Renewal, registry: Registry, first: bytes
) -> None:
    known = bound(registry, first)
    told = await asyncio.gather(
        *(renewal.renew(known, request("pump-7")) for _ in range(UNUSED_LIMIT + 4)), return_exceptions=True
    )
    assert sum(isinstance(one, Granted) for one in told) == UNUSED_LIMIT
    assert sum(isinstance(one, TooManyRenewalsError) for one in told) == 4
    assert len(await registry.certificates(1, "pump-7")) == 1 + UNUSED_LIMIT


async def test_a_device_renews_so_often_a_day_and_not_more(
    renewal: Renewal, registry: Registry, first: bytes, clock: FakeClock
) -> None:
    present = first
    for _ in range(RENEWALS_A_DAY):
        before, present = present, der(await renewal.renew(bound(registry, present), request("pump-7")))
        assert connect(registry, present)
        await until_refused(registry, before)
    with pytest.raises(TooManyRenewalsError, match="tomorrow"):
        await renewal.renew(bound(registry, present), request("pump-7"))
    clock.now += DAY_MS
    assert (await renewal.renew(bound(registry, present), request("pump-7"))).device_id == "pump-7"


async def test_revoking_a_certificate_revokes_what_was_renewed_with_it(
    renewal: Renewal, registry: Registry, first: bytes
) -> None:
    """Whoever stole the first may hold the second, unused."""
    second = der(await renewal.renew(bound(registry, first), request("pump-7")))
    third = der(await renewal.renew(bound(registry, second), request("pump-7")))
    other = der(await registry.grant_certificate(1, "pump-7", request("pump-7")))
    await renewal.revoke(1, "pump-7", bound(registry, first).certificate.fingerprint)
    assert not any(connect(registry, each) for each in (first, second, third))
    assert connect(registry, other)


async def test_a_renewed_certificate_that_was_revoked_awaits_no_use(
    renewal: Renewal, registry: Registry, first: bytes
) -> None:
    for _ in range(UNUSED_LIMIT + 2):
        second = await renewal.renew(bound(registry, first), request("pump-7"))
        await renewal.revoke(1, "pump-7", second.fingerprint)
    assert renewal.successions(1, "pump-7") == ()
    assert connect(registry, first)


async def test_nothing_is_renewed_with_a_certificate_that_was_revoked_meanwhile(
    renewal: Renewal, registry: Registry, first: bytes
) -> None:
    known = bound(registry, first)
    await renewal.revoke(1, "pump-7", known.certificate.fingerprint)
    with pytest.raises(EndedCertificateError, match="was revoked"):
        await renewal.renew(known, request("pump-7"))
    assert len(await registry.certificates(1, "pump-7")) == 1


async def test_a_certificate_of_a_ca_of_ones_own_is_not_renewed_by_ours(renewal: Renewal, registry: Registry) -> None:
    company = Company()
    await registered(registry, company, Settings(Mode.PROVISION))
    theirs = company.issued("pump-9")
    registry.authenticate(shown(theirs, "pump-9"))
    await registry.own_authorities.caught_up()
    known = bound(registry, theirs.public_bytes(Encoding.DER))
    with pytest.raises(EndedCertificateError, match="is of a CA of your own, which issues the next one, too"):
        await renewal.renew(known, request("pump-9"))
    assert len(await registry.certificates(1, "pump-9")) == 1


@pytest.mark.parametrize("turns", range(0, 30, 3))
async def test_who_renews_while_the_renewed_certificate_takes_over_has_one_good_certificate_afterwards(
    renewal: Renewal, registry: Registry, database: Database, first: bytes, turns: int
) -> None:
    """Whichever comes first; in memory as on the disk."""
    second = der(await renewal.renew(bound(registry, first), request("pump-7")))
    known = bound(registry, first)

    async def use() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        assert connect(registry, second)

    third, _ = await asyncio.gather(renewal.renew(known, request("pump-7")), use(), return_exceptions=True)
    await until_refused(registry, first)
    granted = [] if isinstance(third, EndedCertificateError) else [der(cast("Granted", third))]
    for late in granted:
        await until_refused(registry, late)
    assert connect(registry, second)
    assert renewal.successions(1, "pump-7") == ()
    good = {one.fingerprint for one in await registry.certificates(1, "pump-7") if one.revoked_at is None}
    assert good == {bound(registry, second).certificate.fingerprint}
    on_disk = await database.read(queries.select_all_certificates())
    assert good == {each.certificate.fingerprint for each in on_disk if each.certificate.revoked_at is None}


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Another program has the file, and nobody else writes."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def impatient(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA busy_timeout = 0")


def breaking_at(fingerprint: str) -> Callable[[sqlite3.Connection], object]:
    """Have the writing of one revocation fail, as a power cut in the middle would."""
    return lambda connection: connection.execute(
        f"CREATE TRIGGER cut BEFORE UPDATE ON certificate WHEN NEW.fingerprint = '{fingerprint}'"
        " BEGIN SELECT RAISE(ABORT, 'the power is gone'); END"
    )


async def good_of(registry: Registry) -> set[str]:
    """The fingerprints of what the database calls good."""
    known = await registry.certificates(DEFAULT_TENANT, "pump-7")
    return {one.fingerprint for one in known if one.revoked_at is None}


def name(registry: Registry, certificate: bytes) -> str:
    return bound(registry, certificate).certificate.fingerprint


async def test_a_lineage_is_revoked_whole_or_not_at_all(
    renewal: Renewal, registry: Registry, database: Database, first: bytes
) -> None:
    second = der(await renewal.renew(bound(registry, first), request("pump-7")))
    third = der(await renewal.renew(bound(registry, second), request("pump-7")))
    whole = await good_of(registry)
    await database.write(breaking_at(name(registry, third)))
    with pytest.raises(sqlite3.IntegrityError, match="the power is gone"):
        await renewal.revoke(1, "pump-7", name(registry, first))
    assert await good_of(registry) == whole
    assert all(may_connect(registry, each) for each in (first, second, third))
    await database.write(lambda connection: connection.execute("DROP TRIGGER cut"))
    await renewal.revoke(1, "pump-7", name(registry, first))
    assert await good_of(registry) == set()
    assert await database.read(renewal_queries.select_successions()) == []
    told = [each for each in await registry.audit.entries(1) if each.action == "certificate.revoke"]
    assert len(told) == 3


async def test_a_renewed_certificate_takes_over_in_one_transaction(
    renewal: Renewal, registry: Registry, database: Database, first: bytes
) -> None:
    """Else a start would take it for what is left of a lineage that was revoked."""
    second = der(await renewal.renew(bound(registry, first), request("pump-7")))
    beside = der(await renewal.renew(bound(registry, first), request("pump-7")))
    assert connect(registry, second)
    await until_refused(registry, first)
    assert await good_of(registry) == {name(registry, second)}
    assert not may_connect(registry, beside)
    assert await database.read(renewal_queries.select_successions()) == []
    await registry.revocation.look_after()
    assert may_connect(registry, second)


async def test_what_took_over_is_told_once_and_only_of_what_was_good(
    renewal: Renewal, registry: Registry, database: Database, first: bytes, broker: Broker
) -> None:
    second, beside = [der(await renewal.renew(bound(registry, first), request("pump-7"))) for _ in range(2)]
    sql = "UPDATE certificate SET revoked_at = 1 WHERE fingerprint = ?"
    await database.write(lambda connection: connection.execute(sql, (name(registry, beside),)))
    for _ in range(2):
        assert connect(registry, second)
    await until_refused(registry, first)
    assert await broker.said_nothing()
    [told] = [each.details for each in await registry.audit.entries(1) if each.action == "certificate.revoke"]
    assert name(registry, first) in told


async def test_a_start_leaves_nothing_of_a_revoked_lineage_good(
    database: Database, registry: Registry, first: bytes, broker: Broker, tmp_path: Path, clock: FakeClock
) -> None:
    """As a release that took several transactions left it behind."""
    async with Renewal(database, registry, 10).running(broker) as renewal:
        second = der(await renewal.renew(bound(registry, first), request("pump-7")))
        third = der(await renewal.renew(bound(registry, second), request("pump-7")))
    sql = "UPDATE certificate SET revoked_at = 1 WHERE fingerprint = ?"
    await database.write(lambda connection: connection.execute(sql, (name(registry, first),)))
    await database.maintain(impatient)
    with held(tmp_path / "gateway.db"):
        # The disk takes nothing: it starts, and lets nobody in by them.
        async with Registry(database, tmp_path / "pki", clock).opened() as again:
            assert not any(may_connect(again, each) for each in (first, second, third))
            assert len(await good_of(again)) == 2
    async with Registry(database, tmp_path / "pki", clock).opened() as again:
        assert not any(may_connect(again, each) for each in (first, second, third))
        assert await good_of(again) == set()
        assert await database.read(renewal_queries.select_successions()) == []


async def test_what_was_renewed_with_a_certificate_of_a_revoked_ca_goes_with_it_unless_it_took_over(
    renewal: Renewal, registry: Registry, first: bytes
) -> None:
    old = (await registry.revocation.issuers(1))[0]
    await registry.add_device(1, "pump-8")
    other = der(await registry.grant_certificate(1, "pump-8", request("pump-8")))
    await registry.authorities.use_issuer(*issuers.files(*issuers.company()))
    unused = der(await renewal.renew(bound(registry, first), request("pump-7")))
    used = der(await renewal.renew(bound(registry, other), request("pump-8")))
    assert may_connect(registry, used, "pump-8")
    registry.certificate_used(bound(registry, used))
    changed: list[str] = []
    async with asyncio.timeout(30):
        while may_connect(registry, other, "pump-8"):
            await registry.audit.verify(1)
    registry.rights_changed = lambda _, device_id: changed.append(device_id)
    done = await registry.revocation.revoke_issuer(1, old.fingerprint)
    assert done.certificate_count == 2
    assert not any(may_connect(registry, each) for each in (first, unused))
    assert may_connect(registry, used, "pump-8")
    # Connections by what another CA has issued are not looked at by the way with those of the revoked one.
    assert changed == ["pump-7"]
    assert renewal.successions(1, "pump-7") == ()


async def test_nothing_takes_over_from_a_certificate_whose_ca_was_revoked_and_that_is_not_marked_yet(
    renewal: Renewal, registry: Registry, database: Database, first: bytes, tmp_path: Path
) -> None:
    old = (await registry.revocation.issuers(1))[0]
    await registry.authorities.use_issuer(*issuers.files(*issuers.company()))
    unused = der(await renewal.renew(bound(registry, first), request("pump-7")))
    shown = bound(registry, unused)

    async def use() -> None:
        # Somebody comes with it before anything is marked.
        registry.certificate_used(shown)

    registry.revocation.judge_everybody = use
    await registry.revocation.revoke_issuer(1, old.fingerprint)
    assert await good_of(registry) == set()
    assert not may_connect(registry, unused)


async def test_nothing_takes_over_while_the_disk_keeps_a_revocation_waiting(
    registry: Registry, database: Database, tmp_path: Path
) -> None:
    await registry.add_device(1, "pump-7")
    await registry.issue_certificate(1, "pump-7")
    old = (await registry.revocation.issuers(1))[0]
    await registry.authorities.use_issuer(*issuers.files(*issuers.company()))
    await database.maintain(impatient)
    with contextlib.closing(sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)) as other:

        async def hold() -> None:
            other.execute("BEGIN IMMEDIATE")

        registry.revocation.judge_everybody = hold
        done = await registry.revocation.revoke_issuer(1, old.fingerprint)
        assert done.certificate_count == 1
        with pytest.raises(UnwritableError, match="could not be marked yet"):
            async with registry.revocation.settled():
                pass
        other.execute("ROLLBACK")
    await registry.revocation.look_after()
    async with registry.revocation.settled():
        assert await good_of(registry) == set()
