from appliance.registry.model import Certificate, IssuedCertificate
from appliance.registry.own_authorities import record
from appliance.registry.own_authorities.model import CertificateState, Mode, Settings
from tests.appliance.registry.examples import NOW
from tests.appliance.registry.own_authorities.examples import authority, certificate, new_authority


def test_what_is_decided_of_a_ca_is_told() -> None:
    [made] = record.registered(new_authority(), Settings(Mode.PROVISION, "pumps", 7))
    assert (made.action, made.subject) == ("own_authority.register", "CN=CA 1")
    assert (made.details["mode"], made.details["template"], made.details["daily_limit"]) == ("provision", "pumps", "7")
    [changed] = record.changed(authority(), Settings(Mode.INACTIVE))
    assert (changed.details["from"], changed.details["mode"]) == ("register", "inactive")
    [removed] = record.removed(authority())
    assert removed.details == {"fingerprint": authority().fingerprint}


def test_a_certificate_is_told_with_its_device_and_its_ca() -> None:
    known = Certificate("ab", "1f", NOW, NOW)
    [taken] = record.taken_in([IssuedCertificate("pump-7", known, "PEM")], authority())
    assert (taken.subject, taken.details["authority"], taken.details["serial"]) == ("pump-7", "CN=CA 1", "1f")
    one = certificate(CertificateState.WAITING)
    [accepted] = record.accepted(one, "pump-8")
    assert (accepted.action, accepted.subject) == ("certificate.take_in", "pump-8")
    [again] = record.reconsidered(one)
    assert (again.action, again.subject, again.details["fingerprint"]) == (
        "certificate.reconsider",
        one.subject,
        one.fingerprint,
    )
    [refused] = record.refused(one)
    assert (refused.action, refused.details) == ("certificate.refuse", {"fingerprint": one.fingerprint})
