import sqlite3
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.enrolment.renewal import queries, succession
from appliance.enrolment.renewal.model import Asked, EndedCertificateError, Succession
from appliance.instant import DAY_MS
from appliance.registry.model import DeviceState
from appliance.registry.revocation import queries as revocation_queries
from appliance.registry.service import Registry
from appliance.store.database import Database
from tests.appliance.enrolment.examples import NOW
from tests.appliance.enrolment.renewal.clients import TWO_THIRDS_MS, bound
from tests.appliance.registry.examples import FakeClock


def nothing(_: object) -> None:
    """A certificate that is written elsewhere."""


async def test_a_succession_is_kept_until_it_is_deleted_by_its_own_tenant(
    database: Database, registry: Registry, first: bytes
) -> None:
    present = bound(registry, first).certificate.fingerprint
    kept, other = (Succession(1, name, present, "pump-7", NOW) for name in "bc")
    for each in (kept, other):
        await database.write(queries.insert_renewal, each, 10, nothing)
    await database.write(queries.delete_successions, 2, ["b", "c"])
    await database.write(queries.delete_successions, 1, ["c"])
    assert await database.read(queries.select_successions()) == [kept]


async def test_nobody_renews_with_the_certificate_of_another_tenant(
    database: Database, registry: Registry, first: bytes
) -> None:
    present = bound(registry, first).certificate.fingerprint
    with pytest.raises(EndedCertificateError):
        await database.write(queries.insert_renewal, Succession(2, "b", present, "pump-7", NOW), 10, nothing)


async def test_what_cannot_be_bound_leaves_nothing(database: Database, registry: Registry, first: bytes) -> None:
    def fail(_: object) -> None:
        raise EndedCertificateError("it was not to be")

    made = Succession(1, "b", bound(registry, first).certificate.fingerprint, "pump-7", NOW)
    with pytest.raises(EndedCertificateError):
        await database.write(queries.insert_renewal, made, 10, fail)
    assert await database.read(queries.select_successions()) == []


async def test_the_certificates_that_are_due_are_found(
    database: Database, registry: Registry, first: bytes, clock: FakeClock
) -> None:
    known = bound(registry, first).certificate
    due_at = NOW + TWO_THIRDS_MS
    assert await database.read(queries.select_due(due_at - 1)) == []
    [found] = await database.read(queries.select_due(due_at))
    assert (found.device_id, found.fingerprint, found.is_latest) == ("pump-7", known.fingerprint, True)
    assert await database.read(queries.select_due(known.expires_at)) == []
    clock.now += DAY_MS
    renewed = await registry.issue_certificate(1, "pump-7")
    made = Succession(1, renewed.fingerprint, known.fingerprint, "pump-7", NOW)
    await database.write(partial(queries.insert_renewal, made=made, day_limit=10, bind=nothing))
    assert [one.is_latest for one in await database.read(queries.select_due(due_at))] == [True]
    await database.write(queries.delete_successions, 1, [renewed.fingerprint])
    assert [one.is_latest for one in await database.read(queries.select_due(due_at))] == [False]
    await registry.set_state(1, "pump-7", DeviceState.SUSPENDED)
    assert await database.read(queries.select_due(due_at)) == []


async def test_when_devices_were_asked_is_kept(database: Database, registry: Registry) -> None:
    await registry.add_device(1, "pump-7")
    asked = [Asked(1, "pump-7", NOW), Asked(1, "nobody", NOW), Asked(2, "pump-7", NOW)]
    await database.write(queries.save_asked, asked)
    await database.write(queries.save_asked, [Asked(1, "pump-7", NOW + 1)])
    assert await database.read(queries.select_asked()) == [Asked(1, "pump-7", NOW + 1)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parents=st.lists(st.integers(0, 7), min_size=1, max_size=8), picked=st.integers(0, 8))
async def test_the_database_knows_lineages_as_the_book_does(
    database: Database, registry: Registry, parents: list[int], picked: int
) -> None:
    """The recursive question, and the function of values that says what a lineage is, give the same."""
    if not registry.has_device(1, "pump-7"):
        await registry.add_device(1, "pump-7")
    names = [(await registry.issue_certificate(1, "pump-7")).fingerprint for _ in range(len(parents) + 1)]
    made = [
        Succession(1, names[number], names[parent % number], "pump-7", NOW)
        for number, parent in enumerate(parents, start=1)
    ]
    sql = "INSERT INTO succession (tenant_id, fingerprint, replaced, device_id, made_at) VALUES (?, ?, ?, ?, ?)"
    rows = [(each.tenant_id, each.fingerprint, each.replaced, each.device_id, each.made_at) for each in made]
    await database.write(lambda connection: connection.executemany(sql, rows))
    one = names[picked % len(names)]
    would = await database.read(revocation_queries.select_lineages(1, [one], NOW))
    revoked = await database.write(revocation_queries.revoke_lineages, 1, [one], NOW)
    expected = succession.renewed_with(made, one) | {one}
    assert {each.certificate.fingerprint for each in would} == expected
    assert sorted(revoked, key=str) == sorted(would, key=str)
    left = {each.fingerprint for each in await database.read(queries.select_successions())}
    assert left & set(names) == {each.fingerprint for each in made} - expected
    assert await database.write(revocation_queries.revoke_lineages, 2, names, NOW) == []


async def renewed_beside(database: Database, registry: Registry, first: bytes) -> tuple[str, list[str]]:
    """A certificate of pump-7, and two that were renewed with it."""
    present = bound(registry, first).certificate.fingerprint
    names = [(await registry.issue_certificate(1, "pump-7")).fingerprint for _ in range(2)]
    for each in names:
        await database.write(queries.insert_renewal, Succession(1, each, present, "pump-7", NOW), 10, nothing)
    return present, names


async def test_no_tenant_ends_the_lineages_of_another(database: Database, registry: Registry, first: bytes) -> None:
    present, names = await renewed_beside(database, registry, first)
    known = await registry.certificates(1, "pump-7")
    successions = await database.read(queries.select_successions())
    assert await database.read(revocation_queries.select_lineages(2, [present, *names], NOW)) == []
    assert await database.write(revocation_queries.revoke_lineages, 2, [present, *names], NOW) == []
    assert await database.write(queries.take_over, 2, "pump-7", names[0], NOW) == []
    await database.write(insert_claim, present)
    assert await database.write(queries.take_over, 2, "pump-7", "another's", NOW) == []
    assert await registry.certificates(1, "pump-7") == known
    assert {each.revoked_at for each in known} == {None}
    assert await database.read(queries.select_successions()) == successions


def insert_claim(connection: sqlite3.Connection, replaced: str) -> None:
    """Have another tenant say that a certificate of its own takes the place of this one."""
    connection.execute("INSERT INTO tenant (tenant_id, name, created_at) VALUES (2, 'second', 0)")
    sql = "INSERT INTO succession (tenant_id, fingerprint, replaced, device_id, made_at) VALUES (2, ?, ?, ?, ?)"
    connection.execute(sql, ("another's", replaced, "pump-7", NOW))


async def test_what_was_revoked_before_a_renewed_one_took_over_keeps_its_moment(
    database: Database, registry: Registry, first: bytes
) -> None:
    present, names = await renewed_beside(database, registry, first)
    sql = "UPDATE certificate SET revoked_at = 1 WHERE fingerprint = ?"
    await database.write(lambda connection: connection.execute(sql, (names[1],)))
    [ended] = await database.write(queries.take_over, 1, "pump-7", names[0], NOW + 9)
    assert (ended.certificate.fingerprint, ended.certificate.revoked_at) == (present, NOW + 9)
    revoked_at = {each.fingerprint: each.revoked_at for each in await registry.certificates(1, "pump-7")}
    assert revoked_at == {present: NOW + 9, names[0]: None, names[1]: 1}
    assert await database.read(queries.select_successions()) == []
    assert await database.write(queries.take_over, 1, "pump-7", names[0], NOW + 20) == []
