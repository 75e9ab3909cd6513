"""What the certificate authorities sign, judged by OpenSSL."""

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import DAY_MS
from appliance.registry import authority
from appliance.registry.authority import Authority
from appliance.registry.names import LOCAL_NETWORKS, ServerNames
from appliance.registry.pki import Pki
from tests.appliance.registry import issuers
from tests.appliance.registry.examples import NAMES, NOW

moments = st.integers(0, 4_000_000_000_000)


def verify(tmp_path: Path, leaf: x509.Certificate, root: x509.Certificate, *more: str) -> str:
    (tmp_path / "leaf.pem").write_text(authority.certificate_pem(leaf))
    (tmp_path / "root.pem").write_text(authority.certificate_pem(root))
    result = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-CAfile", "root.pem", *more, "leaf.pem"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout + result.stderr


def through(tmp_path: Path, issuing: x509.Certificate) -> tuple[str, str]:
    (tmp_path / "issuing.pem").write_text(authority.certificate_pem(issuing))
    return ("-untrusted", "issuing.pem")


def test_openssl_accepts_a_device_for_clients_only(keys: Pki, tmp_path: Path) -> None:
    leaf = authority.issue_device(keys.issuing, "sensor-001", authority.make_key().public_key(), NOW)
    between = through(tmp_path, keys.issuing.certificate)
    assert "OK" in verify(tmp_path, leaf, keys.root, *between, "-purpose", "sslclient")
    assert "unsuitable certificate purpose" in verify(tmp_path, leaf, keys.root, *between, "-purpose", "sslserver")


def test_openssl_accepts_the_listener_of_devices_by_every_name(keys: Pki, tmp_path: Path) -> None:
    leaf = authority.issue_server(keys.issuing, NAMES, authority.make_key(), authority.mqtt_validity(NOW))
    between = through(tmp_path, keys.issuing.certificate)
    for host in NAMES.hosts:
        assert "OK" in verify(tmp_path, leaf, keys.root, *between, "-purpose", "sslserver", "-verify_hostname", host)
    for address in NAMES.addresses:
        assert "OK" in verify(tmp_path, leaf, keys.root, *between, "-purpose", "sslserver", "-verify_ip", address)
    assert "mismatch" in verify(tmp_path, leaf, keys.root, *between, "-verify_hostname", "elsewhere.local")


def test_openssl_accepts_the_web_for_names_of_the_lan_and_nothing_beyond(keys: Pki, tmp_path: Path) -> None:
    good = authority.issue_server(keys.web, NAMES, authority.make_key(), authority.web_validity(NOW))
    assert "OK" in verify(tmp_path, good, keys.web.certificate, "-purpose", "sslserver")
    for names in (ServerNames(("www.example.com",), ()), ServerNames((), ("203.0.113.1",))):
        evil = authority.issue_server(keys.web, names, authority.make_key(), authority.web_validity(NOW))
        assert "permitted subtree violation" in verify(tmp_path, evil, keys.web.certificate)


def test_the_issuing_ca_can_make_no_further_ca(keys: Pki, tmp_path: Path) -> None:
    under_key = authority.make_key()
    under = authority.make_issuing(under_key, keys.issuing, NOW)
    leaf = authority.issue_device(Authority(under, under_key), "a", authority.make_key().public_key(), NOW)
    (tmp_path / "between.pem").write_text(authority.certificate_pem(keys.issuing.certificate, under))
    assert "path length constraint exceeded" in verify(tmp_path, leaf, keys.root, "-untrusted", "between.pem")


def test_the_two_authorities_know_nothing_of_each_other(keys: Pki, tmp_path: Path) -> None:
    web = authority.issue_server(keys.web, NAMES, authority.make_key(), authority.web_validity(NOW))
    device = authority.issue_device(keys.issuing, "a", authority.make_key().public_key(), NOW)
    between = through(tmp_path, keys.issuing.certificate)
    assert "unable to get local issuer" in verify(tmp_path, web, keys.root, *between)
    assert "unable to get" in verify(tmp_path, device, keys.web.certificate, *between)


@given(now=moments)
def test_certificates_for_devices_begin_in_the_past_whatever_the_clock_says(keys: Pki, now: int) -> None:
    leaf = authority.issue_device(keys.issuing, "a", authority.make_key().public_key(), now)
    assert leaf.not_valid_before_utc.year == 2020
    # A clock that was reset to 1970 must not make a certificate that is over already.
    wanted = max(now, authority.RELEASED_AT) // 1000 * 1000 + authority.DEVICE_LENGTH_MS
    # Nothing outlives the CA that vouches for it.
    assert authority.ends_at(leaf) == min(wanted, authority.ends_at(keys.issuing.certificate))


@given(now=moments)
def test_a_web_certificate_never_lives_longer_than_browsers_accept(keys: Pki, now: int) -> None:
    leaf = authority.issue_server(keys.web, NAMES, authority.make_key(), authority.web_validity(now))
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(days=397)


@given(now=st.integers(authority.RELEASED_AT, 4_000_000_000_000), days=st.integers(0, 100))
def test_a_server_certificate_is_issued_again_when_less_than_a_third_is_left(now: int, days: int) -> None:
    key = authority.make_key()
    signer = Authority(authority.make_root(key, now), key)
    leaf = authority.issue_server(signer, NAMES, key, authority.mqtt_validity(now))
    later = authority.ends_at(leaf) - authority.MQTT_LENGTH_MS + days * DAY_MS
    reason = authority.reissue_reason(leaf, signer.certificate, key, NAMES, authority.MQTT_LENGTH_MS, later)
    assert bool(reason) == (days > 60)


def test_a_server_certificate_is_issued_again_for_other_names_keys_or_authorities(keys: Pki) -> None:
    key = authority.make_key()
    leaf = authority.issue_server(keys.issuing, NAMES, key, authority.mqtt_validity(NOW))

    def reason(signer: x509.Certificate, holder: authority.Key, names: ServerNames) -> str:
        return authority.reissue_reason(leaf, signer, holder, names, authority.MQTT_LENGTH_MS, NOW)

    assert reason(keys.issuing.certificate, key, NAMES) == ""
    assert "names" in reason(keys.issuing.certificate, key, ServerNames(NAMES.hosts, ("10.0.0.1",)))
    assert "key" in reason(keys.issuing.certificate, authority.make_key(), NAMES)
    assert "CA" in reason(keys.web.certificate, key, NAMES)


def test_a_certificate_remembers_the_names_it_was_issued_for(keys: Pki) -> None:
    leaf = authority.issue_server(keys.issuing, NAMES, authority.make_key(), authority.mqtt_validity(NOW))
    assert authority.names_in(leaf) == NAMES


def test_a_ca_without_constraints_may_sign_every_name_and_the_web_ca_those_of_the_lan(keys: Pki) -> None:
    names = ServerNames(("gateway-7f3a", "localhost", "www.example.com"), ("10.0.0.1", "192.0.2.1", "::1"))
    assert authority.names_allowed_by(keys.root, names) == names
    assert authority.names_allowed_by(keys.web.certificate, names) == ServerNames(
        ("gateway-7f3a", "localhost"), ("10.0.0.1", "::1")
    )


def test_the_extensions_that_strict_clients_ask_for_are_there(keys: Pki) -> None:
    device = authority.issue_device(keys.issuing, "a", authority.make_key().public_key(), NOW)
    for certificate in (keys.root, keys.issuing.certificate, keys.web.certificate, device):
        extensions = certificate.extensions
        assert extensions.get_extension_for_class(x509.BasicConstraints).critical
        assert extensions.get_extension_for_class(x509.KeyUsage).critical
        assert extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        assert extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert keys.issuing.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


def test_only_the_web_ca_has_name_constraints_and_they_are_not_critical(keys: Pki) -> None:
    constraints = keys.web.certificate.extensions.get_extension_for_class(x509.NameConstraints)
    assert not constraints.critical
    permitted = constraints.value.permitted_subtrees or []
    assert all(x509.IPAddress(network) in permitted for network in LOCAL_NETWORKS)
    for certificate in (keys.root, keys.issuing.certificate):
        with pytest.raises(x509.ExtensionNotFound):
            certificate.extensions.get_extension_for_class(x509.NameConstraints)


def test_a_long_device_id_still_gets_a_certificate(keys: Pki, tmp_path: Path) -> None:
    leaf = authority.issue_device(keys.issuing, "x" * 128, authority.make_key().public_key(), NOW)
    assert "OK" in verify(tmp_path, leaf, keys.root, *through(tmp_path, keys.issuing.certificate))


def test_serial_numbers_are_long_and_never_the_same(keys: Pki) -> None:
    key = authority.make_key().public_key()
    serials = {authority.issue_device(keys.issuing, "a", key, NOW).serial_number for _ in range(50)}
    assert len(serials) == 50
    assert max(serial.bit_length() for serial in serials) > 150


def test_what_was_written_as_pem_reads_the_same() -> None:
    key = authority.make_key()
    root = authority.make_root(key, NOW)
    assert authority.read_certificate(authority.certificate_pem(root, root).encode()) == root
    assert authority.read_key(authority.key_pem(key).encode()).public_key() == key.public_key()
    assert len(authority.fingerprint(root)) == 64


def test_a_key_of_another_kind_is_refused() -> None:
    other = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ValueError, match="expected a key on an elliptic curve"):
        authority.read_key(other)


def test_rsa_keys_of_a_kind_are_read_for_signing_and_not_as_ours() -> None:
    pem = authority.key_pem(rsa.generate_private_key(65_537, 2_048)).encode()
    assert authority.read_signing_key(pem).key_size == 2_048
    with pytest.raises(ValueError, match="elliptic curve"):
        authority.read_key(pem)
    other = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ValueError, match="or RSA"):
        authority.read_signing_key(other)


@pytest.mark.parametrize("with_rsa", [False, True])
def test_openssl_accepts_what_a_company_s_ca_issues_by_either_root(keys: Pki, tmp_path: Path, with_rsa: bool) -> None:
    [issuing, top], key = issuers.company(with_rsa=with_rsa)
    leaf = authority.issue_device(Authority(issuing, key), "a", authority.make_key().public_key(), NOW)
    root_key = authority.make_key()
    ours = Authority(authority.make_root(root_key, NOW), root_key)
    cross = authority.cross_certify(ours, issuing)
    assert "OK" in verify(tmp_path, leaf, ours.certificate, *through(tmp_path, cross), "-purpose", "sslclient")
    assert "OK" in verify(tmp_path, leaf, top, *through(tmp_path, issuing), "-purpose", "sslclient")
    assert "unable to get" in verify(tmp_path, leaf, keys.root, *through(tmp_path, cross))


def test_an_issuer_without_a_key_identifier_can_be_certified_too() -> None:
    root_key, key = authority.make_key(), authority.make_key()
    ours = Authority(authority.make_root(root_key, NOW), root_key)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Old CA")])
    old = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(issuers.FIRST_DAY)
        .not_valid_after(issuers.FIRST_DAY + timedelta(days=900))
        .sign(key, hashes.SHA256())
    )
    cross = authority.cross_certify(ours, old)
    assert authority.ends_at(cross) == authority.ends_at(old)
    digest = cross.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert Authority(old, key).identifier.key_identifier == digest
