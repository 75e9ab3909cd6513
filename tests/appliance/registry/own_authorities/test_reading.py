from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import DAY_MS
from appliance.registry import authority
from appliance.registry.authority import SigningKey
from appliance.registry.clock.trust import Reading
from appliance.registry.own_authorities import reading
from appliance.registry.own_authorities.model import PEM_BYTES, InvalidAuthorityError, OwnCertificateRefusedError
from tests.appliance.registry import issuers
from tests.appliance.registry.examples import NOW
from tests.appliance.registry.own_authorities.makers import Company, der, moment, on_odd_curve, turned

LONG = tuple(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"{number:064}") for number in range(64))
"""What makes a certificate larger than a device's needs to be."""
CLOCK = Reading(NOW, NOW - DAY_MS, is_synchronised=True)
COMPANY = Company()
WEAK = rsa.generate_private_key(65_537, 1_024)  # noqa: S505  what has to be refused


def of_key(key: SigningKey, **told: bool) -> x509.Certificate:
    return issuers.make("Example Factory", key, **told)  # type: ignore[arg-type]


def without_subject() -> x509.Certificate:
    key, name = authority.make_key(), x509.Name([])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(moment(2026)).not_valid_after(moment(2036))
    return builder.add_extension(x509.BasicConstraints(True, None), critical=True).sign(key, hashes.SHA256())


@pytest.mark.parametrize(
    ("certificate", "why"),
    [
        (of_key(authority.make_key(), is_ca=False), "not that of a CA"),
        (of_key(authority.make_key(), signs=False), "key usage"),
        (of_key(WEAK), "not strong enough"),
        (of_key(on_odd_curve()), "curve"),
        (issuers.make("Example Factory", authority.make_key(), days=3), "expired at 2026-01-04"),
        (without_subject(), "no subject"),
    ],
)
def test_what_can_be_no_ca_is_refused_in_a_sentence(certificate: x509.Certificate, why: str) -> None:
    with pytest.raises(InvalidAuthorityError, match=why):
        reading.checked(certificate, [], CLOCK)


def test_a_ca_that_the_listeners_could_not_load_is_refused() -> None:
    certificate = issuers.unloadable(authority.make_key())
    assert not authority.is_loadable(certificate)
    with pytest.raises(InvalidAuthorityError, match="OpenSSL cannot read"):
        reading.checked(certificate, [], CLOCK)


def test_a_ca_of_the_gateway_is_refused_by_its_key_and_by_its_name() -> None:
    same_key = issuers.make("Another Name", COMPANY.key)
    same_names = [
        (Company(name).certificate, "is called CN=Example") for name in ("Example Factory", "EXAMPLE factory ")
    ]
    for certificate, why in ((same_key, "of the gateway itself"), *same_names):
        with pytest.raises(InvalidAuthorityError, match=why):
            reading.checked(certificate, [COMPANY.certificate], CLOCK)
    checked = reading.checked(COMPANY.certificate, [Company("Other").certificate], CLOCK)
    assert (checked.subject, checked.pem) == ("CN=Example Factory", COMPANY.pem.decode())
    assert reading.checked(same_key, [], CLOCK).issuer_key == checked.issuer_key


@pytest.mark.parametrize(
    ("pem", "why"),
    [
        (b"", "no certificate"),
        (b"x" * (PEM_BYTES + 1), "more than"),
        (COMPANY.pem + COMPANY.pem, "holds 2"),
        (authority.key_pem(COMPANY.key).encode() + COMPANY.pem, "private key"),
    ],
)
def test_an_upload_is_one_certificate_and_nothing_else(pem: bytes, why: str) -> None:
    with pytest.raises(InvalidAuthorityError, match=why):
        reading.read(pem, "the proof")
    assert reading.read(COMPANY.pem, "the proof") == COMPANY.certificate


def named(*values: str) -> x509.Name:
    kinds = (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in zip(kinds, values, strict=False)])


# A common name has up to 64 bytes, and each blank becomes three.
@given(st.text("aB é", min_size=1, max_size=20).filter(str.strip), st.sampled_from([str.upper, str.lower, str.title]))
def test_neither_case_nor_spaces_make_another_name(value: str, spelt: Callable[[str], str]) -> None:
    wide = " " + spelt(value).replace(" ", " \t ") + " "
    assert reading.compared(named(wide, "X")) == reading.compared(named(value, "x"))


@pytest.mark.parametrize("other", [named("Example"), named("Example", "Fac tory"), named("Factory", "Example")])
def test_what_else_differs_makes_another_name(other: x509.Name) -> None:
    assert reading.compared(other) != reading.compared(named("Example", "Factory"))


def test_the_parts_of_a_name_that_stand_beside_each_other_have_no_order() -> None:
    one, other = named("Example", "Factory"), named("EXAMPLE", "factory ")
    beside = [x509.Name([x509.RelativeDistinguishedName(each)]) for each in (one, reversed(list(other)))]
    assert reading.compared(beside[0]) == reading.compared(beside[1])


def test_a_ca_needs_no_key_identifier() -> None:
    key, name = authority.make_key(), named("Example")
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(moment(2026)).not_valid_after(moment(2036))
    plain = builder.add_extension(x509.BasicConstraints(True, None), critical=True).sign(key, hashes.SHA256())
    checked = reading.checked(plain, [], CLOCK)
    assert reading.subject_of(checked.pem) == name


def test_of_several_cas_of_a_name_a_certificate_is_that_ones_who_has_signed_it() -> None:
    twin, other = Company(), Company("Another Factory")
    issuers = {7: COMPANY.certificate, 8: other.certificate, 9: twin.certificate}
    assert reading.issuer_of(COMPANY.issued("pump-7"), issuers) == 7
    assert reading.issuer_of(twin.issued("pump-7"), issuers) == 9
    assert reading.issuer_of(other.issued("pump-7"), issuers) == 8
    assert reading.issuer_of(Company().issued("pump-7"), issuers) == 7
    assert reading.issuer_of(Company("Nobody").issued("pump-7"), issuers) is None


def test_a_proof_is_signed_by_the_ca_itself() -> None:
    assert reading.proven_code(COMPANY.issued("ab" * 32), COMPANY.certificate) == "ab" * 32
    for proof in (Company("Other").issued("code"), Company().issued("code"), COMPANY.below().issued("code")):
        with pytest.raises(InvalidAuthorityError):
            reading.proven_code(proof, COMPANY.certificate)


@pytest.mark.parametrize(
    ("certificate", "why"),
    [
        (Company().issued("pump-7"), "has not signed it"),
        (COMPANY.issued("pump-7", is_ca=True), "certificate of a CA"),
        (COMPANY.issued("pump-7", names=LONG), "bytes; at most 4096 are taken"),
        (COMPANY.certificate, "certificate of a CA"),
        (COMPANY.issued("pump-7", usage=ExtendedKeyUsageOID.SERVER_AUTH), "not for clients"),
        (COMPANY.issued("pump-7", digest=hashes.SHA224()), "hash that is not good"),
        (COMPANY.issued("pump-7", key=WEAK.public_key()), "RSA key of at least"),
        (COMPANY.issued("pump-7", key=on_odd_curve().public_key()), "curve"),
        (COMPANY.issued("pump-7", first_day=moment(2028)), "yet to come"),
        (COMPANY.issued("pump-7", days=30), "expired at 2026-01-31"),
    ],
)
def test_what_can_be_no_device_is_refused_in_a_sentence(certificate: x509.Certificate, why: str) -> None:
    with pytest.raises(OwnCertificateRefusedError, match=why):
        reading.leaf(certificate, COMPANY.certificate, CLOCK)


def test_a_clock_that_is_not_believed_calls_nothing_over_and_nothing_too_early() -> None:
    lost = Reading(0, NOW, is_synchronised=False)
    for certificate in (COMPANY.issued("pump-7", days=30), COMPANY.issued("pump-7", first_day=moment(2028))):
        assert reading.leaf(certificate, COMPANY.certificate, lost).common_name == "pump-7"


def test_a_certificate_ends_no_later_than_its_ca() -> None:
    leaf = reading.leaf(COMPANY.issued("pump-7", days=9_000), COMPANY.certificate, CLOCK)
    assert leaf.expires_at == authority.ends_at(COMPANY.certificate)
    assert leaf.begins_at == (issuers.FIRST_DAY - moment(1970)) // timedelta(milliseconds=1)


def test_what_a_template_may_name_is_called_as_with_aws() -> None:
    names = (
        x509.NameAttribute(NameOID.COUNTRY_NAME, "CH"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"),
        x509.NameAttribute(NameOID.SERIAL_NUMBER, "PX-1"),
    )
    leaf = reading.leaf(COMPANY.issued("pump-7", names=names), COMPANY.certificate, CLOCK)
    prefix = "AWS::IoT::Certificate::"
    assert dict(leaf.attributes) == {
        f"{prefix}CommonName": "pump-7",
        f"{prefix}Country": "CH",
        f"{prefix}Organization": "Example",
        f"{prefix}SerialNumber": "PX-1",
    }
    assert leaf.serial_number == "PX-1"


def test_another_signature_is_another_fingerprint_and_the_same_serial_number() -> None:
    certificate = COMPANY.issued("pump-7")
    one, other = (reading.leaf(each, COMPANY.certificate, CLOCK) for each in (certificate, turned(certificate)))
    assert one.fingerprint != other.fingerprint
    assert one.serial == other.serial


@given(st.binary(max_size=200), st.integers(0, 400))
def test_no_bytes_raise_anything(noise: bytes, cut: int) -> None:
    whole = der(COMPANY.certificate)
    for certificate in map(reading.parsed, (noise, whole[:cut] + noise, whole + noise[:3])):
        if certificate is not None:
            reading.fingerprint(certificate)
    with pytest.raises(InvalidAuthorityError):
        reading.read(noise, "the proof")


def test_of_a_code_only_a_hash_is_kept() -> None:
    assert reading.hashed("ab") == "fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603"
    assert reading.common_name(COMPANY.issued("")) == ""
    assert reading.key_of(COMPANY.certificate) == reading.key_of(issuers.make("Other", COMPANY.key))
