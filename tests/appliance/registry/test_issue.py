"""Device certificates, tried in real handshakes in both directions."""

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from appliance.registry import authority, issue, pki
from appliance.registry.model import Bundle, InvalidRequestError
from tests.appliance.registry.examples import NAMES, NOW, client_context, der, server_context, shake_hands


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> pki.Pki:
    opened = pki.opened(tmp_path_factory.mktemp("gateway") / "pki", "gateway-7f3a", NOW)
    pki.renew(opened, NAMES, NOW)
    return opened


@pytest.fixture
def bundle(opened: pki.Pki) -> Bundle:
    [issued] = issue.issue(opened, ["sensor-001"], NOW)
    return issued.bundle


def device_context(bundle: Bundle, folder: Path, *, root: str = "", chain: str = "") -> ssl.SSLContext:
    (folder / "chain.pem").write_text(chain or bundle.chain_pem)
    (folder / "key.pem").write_text(bundle.key_pem)
    return client_context(root or bundle.root_pem, folder / "chain.pem", folder / "key.pem")


@pytest.mark.parametrize("name", [*NAMES.hosts, *NAMES.addresses])
def test_device_and_gateway_trust_each_other_by_every_name(
    opened: pki.Pki, bundle: Bundle, tmp_path: Path, name: str
) -> None:
    server = server_context(opened.device_tls, asks_certificate=True)
    assert shake_hands(server, device_context(bundle, tmp_path), name) == der(bundle)


def test_a_device_that_sends_its_certificate_alone_gets_in(opened: pki.Pki, bundle: Bundle, tmp_path: Path) -> None:
    server = server_context(opened.device_tls, asks_certificate=True)
    client = device_context(bundle, tmp_path, chain=bundle.certificate_pem)
    assert shake_hands(server, client, "localhost") == der(bundle)


def test_a_device_without_a_certificate_is_refused(opened: pki.Pki, bundle: Bundle) -> None:
    server = server_context(opened.device_tls, asks_certificate=True)
    with pytest.raises(ssl.SSLError):
        shake_hands(server, client_context(bundle.root_pem), "localhost")


def test_devices_and_gateways_of_another_house_are_refused(opened: pki.Pki, bundle: Bundle, tmp_path: Path) -> None:
    other = pki.opened(tmp_path / "other", "gateway-7f3a", NOW)
    pki.renew(other, NAMES, NOW)
    [stranger] = issue.issue(other, ["sensor-001"], NOW)
    server = server_context(opened.device_tls, asks_certificate=True)
    with pytest.raises(ssl.SSLError):
        shake_hands(server, device_context(stranger.bundle, tmp_path, root=bundle.root_pem), "localhost")
    with pytest.raises(ssl.SSLError):
        shake_hands(server, device_context(bundle, tmp_path, root=stranger.bundle.root_pem), "localhost")


def test_the_web_is_trusted_through_its_own_ca(opened: pki.Pki, bundle: Bundle) -> None:
    server = server_context(opened.web_tls, asks_certificate=False)
    assert shake_hands(server, client_context(opened.web_ca_path.read_text()), "gateway-7f3a.local") is None
    with pytest.raises(ssl.SSLError):
        shake_hands(server, client_context(bundle.root_pem), "gateway-7f3a.local")


def test_a_device_cannot_stand_in_for_the_gateway(opened: pki.Pki, bundle: Bundle, tmp_path: Path) -> None:
    device_context(bundle, tmp_path)
    impostor = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    impostor.load_cert_chain(tmp_path / "chain.pem", tmp_path / "key.pem")
    client = client_context(bundle.root_pem)
    client.check_hostname = False
    with pytest.raises(ssl.SSLError):
        shake_hands(impostor, client, "localhost")


def test_what_is_kept_has_no_key_and_names_what_was_given(opened: pki.Pki) -> None:
    first, second = issue.issue(opened, ["a", "b"], NOW)
    assert (first.kept.device_id, second.kept.device_id) == ("a", "b")
    assert first.kept.certificate.fingerprint == first.bundle.fingerprint != second.bundle.fingerprint
    assert first.kept.pem == first.bundle.certificate_pem
    assert "PRIVATE" not in first.kept.pem
    assert first.bundle.chain_pem.count("BEGIN CERTIFICATE") == 2


class DeviceKey:
    """A device that has made its key itself."""

    def __init__(self, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
        self.key = key
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "whatever it says")])
        self.request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())

    def pem(self) -> bytes:
        return self.request.public_bytes(serialization.Encoding.PEM)

    def der(self) -> bytes:
        return self.request.public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("with_rsa", [False, True])
def test_a_device_with_a_key_of_its_own_gets_in(opened: pki.Pki, tmp_path: Path, with_rsa: bool) -> None:
    key = rsa.generate_private_key(65_537, 2_048) if with_rsa else ec.generate_private_key(ec.SECP384R1())
    kept, granted = issue.grant(opened, "sensor-002", DeviceKey(key).der(), NOW)
    assert kept.certificate.fingerprint == granted.fingerprint
    (tmp_path / "chain.pem").write_text(granted.chain_pem)
    (tmp_path / "key.pem").write_text(authority.key_pem(key))
    client = client_context(granted.root_pem, tmp_path / "chain.pem", tmp_path / "key.pem")
    seen = shake_hands(server_context(opened.device_tls, asks_certificate=True), client, "localhost")
    assert seen == ssl.PEM_cert_to_DER_cert(granted.certificate_pem)
    # What a request says of itself counts for nothing.
    assert "whatever" not in x509.load_pem_x509_certificate(granted.certificate_pem.encode()).subject.rfc4514_string()


def test_a_request_whose_sender_lacks_the_key_is_refused(opened: pki.Pki) -> None:
    forged = bytearray(DeviceKey(ec.generate_private_key(ec.SECP256R1())).der())
    forged[-1] ^= 1
    with pytest.raises(InvalidRequestError, match="lacks the private key"):
        issue.grant(opened, "a", bytes(forged), NOW)


def test_keys_that_are_too_weak_and_what_is_no_request_are_refused(opened: pki.Pki) -> None:
    weak = DeviceKey(rsa.generate_private_key(65_537, 1_024)).pem()  # noqa: S505  to be refused
    with pytest.raises(InvalidRequestError, match="at least 2048 bits"):
        issue.grant(opened, "a", weak, NOW)
    for content in (b"", b"nothing", b"-----BEGIN CERTIFICATE REQUEST-----", opened.root_path.read_bytes()):
        with pytest.raises(InvalidRequestError, match="no certificate signing request"):
            issue.grant(opened, "a", content, NOW)


def test_rsa_keys_that_are_costly_are_refused_before_their_signature_is_verified(opened: pki.Pki) -> None:
    large = rsa.generate_private_key(65_537, authority.RSA_MOST_BITS + 8)
    for key in (large, with_exponent(65_539)):
        forged = bytearray(DeviceKey(key).der())
        forged[-1] ^= 1
        with pytest.raises(InvalidRequestError, match="at most 4096, its public exponent at most 65537"):
            issue.grant(opened, "a", bytes(forged), NOW)


def with_exponent(exponent: int) -> rsa.RSAPrivateKey:
    numbers = rsa.generate_private_key(65_537, 2_048).private_numbers()
    p, q = numbers.p, numbers.q
    d = pow(exponent, -1, (p - 1) * (q - 1))
    halves = (rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q))
    return rsa.RSAPrivateNumbers(p, q, d, *halves, rsa.RSAPublicNumbers(exponent, p * q)).private_key()


@given(content=st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(keys: pki.Pki, content: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        issue.grant(keys, "a", content, NOW)
