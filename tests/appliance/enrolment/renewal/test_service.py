import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest

from appliance.enrolment.renewal.model import UNUSED_LIMIT, TooManyRenewalsError, WrongSubjectError
from appliance.enrolment.renewal.service import Renewal
from appliance.registry.model import BoundCertificate, Granted, InvalidRequestError
from appliance.registry.service import Registry
from appliance.store.database import Database
from broker.ports import Credentials, Denied, Principal
from tests.appliance.enrolment.requests import request


@pytest.fixture
async def renewal(database: Database, registry: Registry) -> AsyncIterator[Renewal]:
    async with Renewal(database, registry).running() as renewal:
        yield renewal


@pytest.fixture
async def first(registry: Registry) -> bytes:
    """The certificate with which pump-7 begins, DER."""
    await registry.add_device(1, "pump-7")
    return ssl.PEM_cert_to_DER_cert((await registry.issue_certificate(1, "pump-7")).certificate_pem)


def bound(registry: Registry, certificate: bytes) -> BoundCertificate:
    found = registry.bearer(certificate)
    assert found is not None
    return found


def der(granted: Granted) -> bytes:
    return ssl.PEM_cert_to_DER_cert(granted.certificate_pem)


def connect(registry: Registry, certificate: bytes) -> bool:
    answer = registry.authenticate(Credentials("pump-7", None, None, certificate, "192.0.2.7:1"))
    assert isinstance(answer, Principal | Denied)
    return isinstance(answer, Principal)


async def until_refused(registry: Registry, certificate: bytes) -> None:
    changed = asyncio.Event()
    registry.rights_changed = lambda _tenant_id, _device_id: changed.set()
    async with asyncio.timeout(10):
        while connect(registry, certificate):
            await changed.wait()
            changed.clear()


async def test_both_are_good_until_the_new_one_was_used(renewal: Renewal, registry: Registry, first: bytes) -> None:
    second = der(await renewal.renew(bound(registry, first), request("pump-7")))
    for _ in range(3):
        assert connect(registry, first)
    assert connect(registry, second)
    await until_refused(registry, first)
    assert connect(registry, second)


async def test_what_is_under_way_outlives_a_restart(database: Database, registry: Registry, first: bytes) -> None:
    async with Renewal(database, registry).running() as renewal:
        second = der(await renewal.renew(bound(registry, first), request("")))
    assert connect(registry, second)
    async with Renewal(database, registry).running():
        assert connect(registry, second)
        await until_refused(registry, first)


async def test_others_that_were_asked_for_and_not_used_end_with_the_old_one(
    renewal: Renewal, registry: Registry, first: bytes
) -> None:
    second, third = [der(await renewal.renew(bound(registry, first), request("pump-7"))) for _ in range(2)]
    assert connect(registry, third)
    await until_refused(registry, first)
    await until_refused(registry, second)
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
    with pytest.raises(TooManyRenewalsError):
        await renewal.renew(bound(registry, first), request("pump-7"))
    assert connect(registry, made[0])
    await until_refused(registry, made[1])
    await until_refused(registry, first)
    renewed = await renewal.renew(bound(registry, made[0]), request("pump-7"))
    assert renewed.device_id == "pump-7"


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


async def test_what_is_renewed_with_a_certificate_that_is_revoked_meanwhile_opens_nothing(
    renewal: Renewal, registry: Registry, first: bytes
) -> None:
    known = bound(registry, first)
    await renewal.revoke(1, "pump-7", known.certificate.fingerprint)
    assert not connect(registry, der(await renewal.renew(known, request("pump-7"))))
