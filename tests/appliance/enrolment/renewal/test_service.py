import asyncio

import pytest

from appliance.enrolment.renewal.model import (
    UNUSED_LIMIT,
    EndedCertificateError,
    TooManyRenewalsError,
    WrongSubjectError,
)
from appliance.enrolment.renewal.service import Renewal
from appliance.instant import DAY_MS
from appliance.registry.model import Granted, InvalidRequestError
from appliance.registry.service import Registry
from appliance.store.database import Database
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
from tests.appliance.registry.examples import FakeClock


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
