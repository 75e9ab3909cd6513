"""CAs of a tenant's own, on a real registry."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography import x509

from appliance.errors import InvalidInputError
from appliance.instant import DAY_MS, HOUR_MS
from appliance.registry.model import (
    BoundCertificate,
    DeviceExistsError,
    DeviceState,
    InvalidRequestError,
    NewDevice,
    UnknownDeviceError,
)
from appliance.registry.own_authorities.model import (
    REMEMBERED_MS,
    Acceptance,
    AuthorityExistsError,
    InvalidAuthorityError,
    Mode,
    OwnCertificateRefusedError,
    Settings,
    UnknownAuthorityError,
    UnknownOwnCertificateError,
)
from appliance.registry.service import Registry
from appliance.store.database import Database
from broker.message import Message
from broker.ports import Denied, Principal
from tests.appliance.registry.examples import FakeClock
from tests.appliance.registry.own_authorities.makers import Company, der, moment, registered, shown, turned

PROVISION = Settings(Mode.PROVISION)


@pytest.fixture
def company() -> Company:
    return Company()


async def settled(registry: Registry, certificate: x509.Certificate, client_id: str) -> Principal | Denied:
    """Connect once, and again as soon as the first connection was looked at."""
    answer = registry.authenticate(shown(certificate, client_id))
    if isinstance(answer, Denied) and "is being registered" in answer.reason:
        await registry.own_authorities.caught_up()
        answer = registry.authenticate(shown(certificate, client_id))
    return answer


async def reason(registry: Registry, certificate: x509.Certificate, client_id: str = "pump-7") -> str:
    answer = await settled(registry, certificate, client_id)
    assert isinstance(answer, Denied)
    return answer.reason


async def test_a_device_of_a_registered_ca_is_refused_once_and_then_at_home(
    registry: Registry, company: Company
) -> None:
    await registered(registry, company, PROVISION)
    certificate = company.issued("pump-7")
    first = registry.authenticate(shown(certificate, "pump-7"))
    assert isinstance(first, Denied)
    assert "connect again" in first.reason
    assert await settled(registry, certificate, "pump-7") == Principal(1, "pump-7")
    assert registry.device(1, "pump-7").state is DeviceState.ACTIVE
    [entry] = [one for one in await registry.audit.entries(1) if one.action == "certificate.take_in"]
    assert (entry.actor, entry.subject) == ("gateway", "pump-7")
    stranger = registry.authenticate(shown(certificate, "pump-8"))
    assert isinstance(stranger, Denied)


async def test_a_ca_needs_a_code_of_this_gateway_signed_by_its_own_key(
    registry: Registry, company: Company, clock: FakeClock
) -> None:
    own = registry.own_authorities
    code, other = await own.make_code(1), Company("Another Factory")
    impostor = Company()
    for certificate, proof, why in (
        (company.pem, company.proof("ab" * 32), "not a registration code"),
        (company.pem, company.proof(""), "no common name"),
        (company.pem, other.proof(code), "not by this CA"),
        (company.pem, impostor.proof(code), "not signed with the key"),
        (company.proof(code), company.proof(code), "not that of a CA"),
        (b"nonsense", company.proof(code), "no certificate in PEM form"),
        (company.pem + other.pem, company.proof(code), "holds 2 certificates"),
        (registry.authorities_pem.encode(), company.proof(code), "holds 2 certificates"),
        (registry.root_path.read_bytes(), company.proof(code), "CA of the gateway itself"),
    ):
        with pytest.raises(InvalidAuthorityError, match=why):
            await own.register(1, certificate, proof, Settings())
    with pytest.raises(InvalidAuthorityError, match="not a registration code"):
        await own.register(2, company.pem, company.proof(code), Settings())
    proof = company.proof(code)
    assert (await own.register(1, company.pem, proof, Settings())).settings.mode is Mode.REGISTER
    for again in (proof, company.proof(await own.make_code(1))):
        with pytest.raises((InvalidAuthorityError, AuthorityExistsError)):
            await own.register(1, company.pem, again, Settings())
    late = await own.make_code(1)
    clock.now += HOUR_MS
    with pytest.raises(InvalidAuthorityError, match="not a registration code"):
        await own.register(1, other.pem, other.proof(late), Settings())
    with pytest.raises(InvalidInputError, match="0 to"):
        await own.register(1, other.pem, other.proof(late), Settings(daily_limit=-1))


async def test_a_name_of_a_device_of_ours_opens_nothing_until_a_person_says_so(
    registry: Registry, company: Company
) -> None:
    await registry.add_device(1, "pump-7")
    bundle = await registry.issue_certificate(1, "pump-7")
    await registered(registry, company, PROVISION)
    certificate = company.issued("pump-7")
    answer = await settled(registry, certificate, "pump-7")
    assert isinstance(answer, Denied)
    assert "registered already" in answer.reason
    assert answer.of == Principal(1, "pump-7")
    assert [one.fingerprint for one in await registry.certificates(1, "pump-7")] == [bundle.fingerprint]
    [waiting] = registry.own_authorities.undecided(1)
    with pytest.raises(DeviceExistsError):
        await registry.own_authorities.accept(1, waiting.certificate_number, Acceptance("pump-7"))
    await registry.own_authorities.accept(1, waiting.certificate_number, Acceptance("pump-7", is_registered=True))
    assert await settled(registry, certificate, "pump-7") == Principal(1, "pump-7")


async def test_what_registers_waits_for_a_person_and_what_was_refused_is_accepted_only_once_it_waits_again(
    registry: Registry, company: Company
) -> None:
    own = registry.own_authorities
    await registered(registry, company)
    certificate = company.issued("pump 7 / hall")
    assert "waits until a person" in await reason(registry, certificate)
    [waiting] = own.undecided(1)
    assert (waiting.device_id, waiting.address) == ("pump-7-hall", "192.0.2.7:4711")
    assert not registry.has_device(1, "pump-7-hall")
    await own.refuse(1, waiting.certificate_number)
    assert "refused" in await reason(registry, certificate)
    assert own.undecided(1) == []
    accepted = Acceptance("pump-7", "Pump", "hall")
    for decide in (own.accept(1, waiting.certificate_number, accepted), own.refuse(1, waiting.certificate_number)):
        with pytest.raises(UnknownOwnCertificateError, match="once an operator says so"):
            await decide
    assert not registry.has_device(1, "pump-7")
    [refused] = own.refused(1)
    await own.reconsider(1, waiting.certificate_number)
    with pytest.raises(UnknownOwnCertificateError):
        await own.reconsider(1, waiting.certificate_number)
    assert (own.undecided(1), own.refused(1)) == ([waiting], [])
    assert refused.certificate_number == waiting.certificate_number
    await own.accept(1, waiting.certificate_number, accepted)
    assert await settled(registry, certificate, "pump-7") == Principal(1, "pump-7")
    assert (registry.device(1, "pump-7").type, registry.device(1, "pump-7").zone) == ("Pump", "hall")
    with pytest.raises((UnknownOwnCertificateError, DeviceExistsError)):
        await own.accept(1, waiting.certificate_number, accepted)
    with pytest.raises(UnknownOwnCertificateError):
        await own.refuse(1, waiting.certificate_number)
    for number, tenant_id in ((waiting.certificate_number, 2), (77, 1)):
        with pytest.raises(UnknownOwnCertificateError):
            await own.accept(tenant_id, number, Acceptance("x"))


async def test_programs_are_told_once_of_what_is_seen_for_the_first_time(registry: Registry, company: Company) -> None:
    told: list[Message] = []
    registry.own_authorities.publish = told.append
    known = await registered(registry, company)
    certificate = company.issued("pump-7")
    for _ in range(2):
        await reason(registry, certificate)
    assert [message.topic.rpartition("/")[2] for message in told] == [known.fingerprint]


async def test_what_a_removed_ca_has_issued_is_never_reconsidered(registry: Registry, company: Company) -> None:
    own = registry.own_authorities
    known = await registered(registry, company)
    await reason(registry, company.issued("pump-7"))
    [waiting] = own.undecided(1)
    await own.remove(1, known.authority_number)
    assert (own.undecided(1), own.refused(1)) == ([], [])
    with pytest.raises(OwnCertificateRefusedError, match="removed"):
        await own.reconsider(1, waiting.certificate_number)


async def test_only_devices_that_take_part_get_one_more_certificate(registry: Registry, company: Company) -> None:
    own = registry.own_authorities
    await registered(registry, company)
    await reason(registry, company.issued("pump-7"))
    [waiting] = own.undecided(1)
    await registry.add_device(1, "pump-7")
    await registry.set_state(1, "pump-7", DeviceState.SUSPENDED)
    with pytest.raises(OwnCertificateRefusedError, match="suspended"):
        await own.accept(1, waiting.certificate_number, Acceptance("pump-7", is_registered=True))
    with pytest.raises(UnknownDeviceError):
        await own.accept(1, waiting.certificate_number, Acceptance("pump-8", is_registered=True))
    assert [one.state for one in own.undecided(1)] == [waiting.state]


async def test_a_ca_that_is_switched_off_lets_nobody_in_until_it_is_on_again(
    registry: Registry, company: Company
) -> None:
    own = registry.own_authorities
    known = await registered(registry, company, PROVISION)
    certificate, later = company.issued("pump-7"), company.issued("pump-8")
    await settled(registry, certificate, "pump-7")
    told: list[tuple[int, str]] = []
    registry.rights_changed = lambda tenant_id, name: told.append((tenant_id, name))
    await own.change(1, known.authority_number, Settings(Mode.INACTIVE))
    assert told == [(1, "pump-7")]
    assert "switched off" in await reason(registry, certificate)
    assert "switched off" in await reason(registry, later, "pump-8")
    await own.change(1, known.authority_number, PROVISION)
    assert await settled(registry, certificate, "pump-7") == Principal(1, "pump-7")
    assert await settled(registry, later, "pump-8") == Principal(1, "pump-8")
    with pytest.raises(UnknownAuthorityError):
        await own.change(2, known.authority_number, PROVISION)


async def test_a_ca_that_is_removed_has_all_of_its_certificates_revoked_for_good(
    registry: Registry, company: Company
) -> None:
    own = registry.own_authorities
    known = await registered(registry, company, PROVISION)
    certificate = company.issued("pump-7")
    await settled(registry, certificate, "pump-7")
    assert company.pem.decode() in registry.device_tls().trust.read_text()
    with pytest.raises(UnknownAuthorityError):
        await own.remove(2, known.authority_number)
    told: list[str] = []
    registry.rights_changed = lambda _, name: told.append(name)
    assert await own.remove(1, known.authority_number) == 1
    assert told == ["pump-7"]
    assert company.pem.decode() not in registry.device_tls().trust.read_text()
    assert "removed" in await reason(registry, certificate)
    await registered(registry, company, PROVISION)
    assert isinstance(registry.authenticate(shown(certificate, "pump-7")), Denied)
    assert "counts once" in await reason(registry, turned(certificate))
    [bound] = [registry.bearer(der(certificate))]
    assert bound is not None
    assert bound.certificate.revoked_at is not None


async def test_a_revoked_certificate_does_not_come_back_with_another_signature(
    registry: Registry, company: Company
) -> None:
    await registered(registry, company, PROVISION)
    certificate = company.issued("pump-7")
    await settled(registry, certificate, "pump-7")
    bound = registry.bearer(der(certificate))
    assert isinstance(bound, BoundCertificate)
    await registry.revoke_certificate(1, "pump-7", bound.certificate.fingerprint)
    assert "revoked" in await reason(registry, certificate)
    twin = turned(certificate)
    assert der(twin) != der(certificate)
    assert "counts once" in await reason(registry, twin)


async def test_what_our_own_list_of_revocations_names_is_ours_alone(registry: Registry, company: Company) -> None:
    await registered(registry, company, PROVISION)
    certificate = company.issued("pump-7")
    await settled(registry, certificate, "pump-7")
    await registry.add_device(1, "pump-8")
    ours = await registry.issue_certificate(1, "pump-8")
    await registry.set_state(1, "pump-7", DeviceState.RETIRED)
    await registry.set_state(1, "pump-8", DeviceState.RETIRED)
    listed = [one.serial_number for one in x509.load_der_x509_crl(await registry.revocation_list())]
    assert listed == [x509.load_pem_x509_certificate(ours.certificate_pem.encode()).serial_number]


async def test_what_a_ca_below_a_registered_one_has_issued_is_not_its_own(registry: Registry, company: Company) -> None:
    await registered(registry, company, PROVISION)
    below = company.below()
    assert "bound to no device here" in await reason(registry, below.issued("pump-7"))
    assert "certificate of a CA" in await reason(registry, below.certificate)
    assert "certificate of a CA" in await reason(registry, company.certificate)
    impostor = Company()
    assert "has not signed it" in await reason(registry, impostor.issued("pump-7"))
    assert not registry.has_device(1, "pump-7")


async def test_the_end_of_a_certificate_and_of_its_ca_holds_as_for_ours(
    registry: Registry, company: Company, clock: FakeClock
) -> None:
    registry.time.is_vouched_for = lambda _: True
    await registered(registry, company, PROVISION)
    assert "expired" in await reason(registry, company.issued("pump-1", days=30))
    assert "yet to come" in await reason(registry, company.issued("pump-2", first_day=moment(2028)))
    certificate = company.issued("pump-7", days=400)
    assert await settled(registry, certificate, "pump-7") == Principal(1, "pump-7")
    clock.now += 100 * DAY_MS
    assert "expired" in await reason(registry, certificate)


async def test_no_more_come_in_a_day_than_the_ca_is_set_to(
    registry: Registry, company: Company, clock: FakeClock
) -> None:
    await registered(registry, company, Settings(Mode.PROVISION, daily_limit=2))
    certificates = [company.issued(f"pump-{number}") for number in range(3)]
    for number in range(2):
        assert await settled(registry, certificates[number], f"pump-{number}") == Principal(1, f"pump-{number}")
    assert "within a day" in await reason(registry, certificates[2], "pump-2")
    clock.now += DAY_MS + REMEMBERED_MS
    assert await settled(registry, certificates[2], "pump-2") == Principal(1, "pump-2")


async def test_a_name_that_cannot_be_a_device_id_is_refused_with_that_reason(
    registry: Registry, company: Company
) -> None:
    await registered(registry, company, PROVISION)
    assert "cannot be a device id" in await reason(registry, company.issued("pump/#"))
    assert "cannot be a device id" in await reason(registry, company.issued(""))


async def test_a_template_says_what_becomes_of_a_certificate(registry: Registry, company: Company) -> None:
    class Always:
        def check_template(self, tenant_id: int, name: str) -> None:
            if name != "pumps":
                raise InvalidRequestError(f"{tenant_id} has no {name}")

        def made_of(self, tenant_id: int, name: str, told: Mapping[str, str], certificate_id: str) -> NewDevice:
            assert (tenant_id, name, len(certificate_id)) == (1, "pumps", 64)
            return NewDevice(f"made-{told['AWS::IoT::Certificate::CommonName']}", state=DeviceState.PENDING)

    registry.own_authorities.templates = Always()
    with pytest.raises(InvalidRequestError):
        await registered(registry, company, Settings(Mode.PROVISION, "nothing"))
    await registered(registry, company, Settings(Mode.PROVISION, "pumps"))
    assert "is pending" in await reason(registry, company.issued("7"), "made-7")


async def test_all_of_it_outlives_a_restart(
    registry: Registry, company: Company, database: Database, tmp_path: Path, clock: FakeClock
) -> None:
    await registered(registry, company)
    waiting, refused = company.issued("pump-1"), company.issued("pump-2")
    await reason(registry, waiting)
    await reason(registry, refused)
    [newest, first] = registry.own_authorities.undecided(1)
    await registry.own_authorities.refuse(1, newest.certificate_number)
    async with Registry(database, tmp_path / "pki", clock).opened() as again:
        assert again.own_authorities.undecided(1) == [first]
        assert again.own_authorities.authorities(1) == registry.own_authorities.authorities(1)
        assert company.pem.decode() in again.device_tls().trust.read_text()
        assert "refused" in await reason(again, refused)
        await again.own_authorities.accept(1, first.certificate_number, Acceptance("pump-1"))
        assert again.authenticate(shown(waiting, "pump-1")) == Principal(1, "pump-1")
