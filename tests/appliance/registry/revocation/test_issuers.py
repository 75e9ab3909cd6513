"""Whose a certificate is: told by the key that signed it, never by a name."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from appliance.registry import authority, issue, pki
from appliance.registry.authority import Authority
from appliance.registry.revocation.issuers import Held, RevokedIssuer, RevokedKeys, issued_by, known, succeed
from tests.appliance.registry.examples import NOW

NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "CA of Example, Limited")])


def make_authority(name: x509.Name = NAME) -> Authority:
    key = authority.make_key()
    builder = authority._authority_builder(name, key, name, key, authority.mqtt_validity(NOW))
    return Authority(authority._with_constraint(builder, path_length=0).sign(key, hashes.SHA256()), key)


def make_identified(key_id: bytes) -> Authority:
    """A CA whose key has this identifier, however odd."""
    key = authority.make_key()
    builder = authority._builder(NAME, key.public_key(), NAME, authority.mqtt_validity(NOW))
    builder = builder.add_extension(x509.SubjectKeyIdentifier(key_id), critical=False)
    return Authority(builder.sign(key, hashes.SHA256()), key)


def revoked(ca: x509.Certificate) -> RevokedIssuer:
    name = ca.subject.rfc4514_string()
    return RevokedIssuer(authority.fingerprint(ca), name, authority.certificate_pem(ca), NOW, None)


def keys_of(*authorities: Authority) -> RevokedKeys:
    keys = RevokedKeys()
    for one in authorities:
        keys.add(revoked(one.certificate))
    return keys


def leaf(ca: Authority) -> bytes:
    certificate = authority.issue_device(ca, "pump", authority.make_key().public_key(), NOW)
    return certificate.public_bytes(serialization.Encoding.DER)


def bare_leaf(ca: Authority, signer: Authority) -> bytes:
    """Without any word on the key that signs it."""
    public_key = authority.make_key().public_key()
    builder = authority._builder(NAME, public_key, ca.certificate.subject, authority.mqtt_validity(NOW))
    return builder.sign(signer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_what_a_revoked_ca_has_issued_is_told_from_what_its_namesake_has() -> None:
    bad, namesake = make_authority(), make_authority()
    keys = keys_of(bad)
    assert "CA of Example" in (keys.refusal(leaf(bad)) or "")
    assert keys.refusal(leaf(namesake)) is None
    assert keys_of(namesake, bad).of(leaf(bad)) == revoked(bad.certificate)


@pytest.mark.parametrize("size", [1, 15, 16, 127, 128, 300])
def test_a_ca_is_known_by_an_identifier_of_its_key_of_any_length(size: int) -> None:
    bad, other = (make_identified(bytes([first]) * size) for first in (1, 2))
    keys = keys_of(bad)
    assert keys.refusal(leaf(bad))
    assert keys.refusal(leaf(other)) is None


def test_a_certificate_that_names_no_key_is_the_cas_that_has_signed_it() -> None:
    bad, namesake = make_authority(), make_authority()
    keys = keys_of(bad)
    assert keys.refusal(bare_leaf(bad, bad))
    assert keys.refusal(bare_leaf(bad, namesake)) is None


def test_nothing_is_refused_while_no_ca_is_revoked_and_what_is_no_certificate_never() -> None:
    bad = make_authority()
    assert RevokedKeys().refusal(leaf(bad)) is None
    assert keys_of(bad).refusal(b"no certificate") is None


def test_of_many_certificates_those_of_the_ca_are_found(keys: pki.Pki) -> None:
    issued = issue.issue(keys, ["a", "b"], NOW)
    held = [
        Held(number, 1, one.kept.device_id, one.kept.certificate.fingerprint, one.kept.pem)
        for number, one in enumerate(issued)
    ]
    assert issued_by(revoked(keys.issuing.certificate), held) == held
    assert issued_by(revoked(make_authority().certificate), held) == []


def test_the_one_that_follows_issues_under_the_same_root_and_the_one_before_stays_known(keys: pki.Pki) -> None:
    before = known(keys, [])
    assert [one.is_in_use for one in before].count(True) == 1
    done = succeed(keys, NOW)
    assert done.pki.root == keys.root
    done.pki.issuing.certificate.verify_directly_issued_by(keys.root)
    gone = revoked(keys.issuing.certificate)
    after = known(done.pki, [gone])
    assert after[0] == done.result
    assert [one.revoked_at for one in after if one.fingerprint == gone.fingerprint] == [NOW]
    assert {one.fingerprint for one in before} < {one.fingerprint for one in after}
    # Its devices are refused in words, not by a handshake: it stays among what listeners know.
    assert authority.certificate_pem(keys.issuing.certificate) in done.pki.device_tls.trust.read_text(encoding="utf-8")


def test_a_damaged_file_of_a_ca_is_in_nobodys_way(tmp_path: Path) -> None:
    first = pki.opened(tmp_path / "pki", "gateway-7f3a", NOW)
    done, gone = succeed(first, NOW), revoked(make_authority().certificate)
    in_use, before = known(done.pki, [])
    # One that is nobody's, then those of both.
    (first.folder / "issuer-0123456789abcdef.pem").write_text("no certificate")
    assert known(done.pki, []) == [in_use, before]
    for path in first.folder.glob("issu*.pem"):
        path.write_text("no certificate")
    assert [one.fingerprint for one in known(done.pki, [gone])] == [in_use.fingerprint, gone.fingerprint]
