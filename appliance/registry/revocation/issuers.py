"""CAs that issue, or have issued, the certificates of devices; and those of them that were revoked.

Whose a certificate is, is told by the key that signed it, never by a name alone: anybody may write a name.
"""

import base64
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from appliance.audit.model import Entry
from appliance.errors import NotFoundError
from appliance.instant import to_text
from appliance.registry import authority, pki
from appliance.registry.authority import Authority
from appliance.registry.keys import Tended
from appliance.registry.model import RootKeyError
from appliance.registry.pki import ISSUER, Pki

_KEY_IDENTIFIER_TAG = 0x80
_MARKING = range(16, 128)
"""How long an identifier of a key is by which a certificate is told at a glance. Longer ones are written otherwise."""
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension)


class UnknownIssuerError(NotFoundError):
    """No CA of this fingerprint issues, or has issued, to devices here."""

    code = "unknown_issuer"


class Issuer(msgspec.Struct, frozen=True):
    """A CA that this gateway has issued by. The fingerprint is SHA-256, moments are UTC milliseconds."""

    fingerprint: str
    name: str
    expires_at: int
    is_in_use: bool
    pem: str
    revoked_at: int | None = None


class RevokedIssuer(msgspec.Struct, frozen=True):
    """A CA that was revoked."""

    fingerprint: str
    name: str
    pem: str
    revoked_at: int
    finished_at: int | None


class Held(msgspec.Struct, frozen=True):
    """A certificate that a device has."""

    number: int
    tenant_id: int
    device_id: str
    fingerprint: str
    pem: str


class Succession(msgspec.Struct, frozen=True):
    """What came of a revocation."""

    issuer: Issuer
    certificate_count: int
    successor: Issuer | None
    """The CA that issues now, where it was made for this; None when another one issued already."""


def known(folder: Pki, revoked: Sequence[RevokedIssuer]) -> list[Issuer]:
    """Every CA that has issued to devices, or may: the one in use first. Reads files.

    A file that is damaged keeps nobody from revoking the CAs of the others, nor the one in use.
    """
    moments = {one.fingerprint: one.revoked_at for one in revoked}
    in_use = authority.fingerprint(folder.issuing.certificate)
    paths = [folder.folder / "issuing.pem", *sorted(folder.folder.glob(f"{ISSUER}-*.pem"))]
    kept = [_kept(path) for path in paths if not path.name.endswith(".cross.pem")]
    found: dict[str, Issuer] = {}
    for certificate in (folder.issuing.certificate, *kept):
        if certificate is not None:
            one = _issuer(certificate, in_use)
            found[one.fingerprint] = msgspec.structs.replace(one, revoked_at=moments.get(one.fingerprint))
    for gone in revoked:
        # Its files may have been taken away since.
        found.setdefault(gone.fingerprint, Issuer(gone.fingerprint, gone.name, 0, False, gone.pem, gone.revoked_at))
    return sorted(found.values(), key=lambda one: (not one.is_in_use, one.revoked_at is not None, one.name))


def succeed(folder: Pki, now: int) -> Tended[Issuer]:
    """Let a new CA under our root issue from now on. Raises `RootKeyError` with what has to be done first."""
    if not pki.has_root_key(folder):
        raise RootKeyError(
            "this CA issues the certificates of devices, and the key of the root, which makes another one, is not"
            " here: put it back with `headworks ca restore-root FILE`, then revoke the CA again"
        )
    key = authority.make_key()
    made = authority.make_issuing(key, Authority(folder.root, pki.root_key(folder)), now)
    used = pki.use_issuer(folder, [made], key)
    issuer = _issuer(made, authority.fingerprint(made))
    return Tended(used, issuer, Entry("issuer.use", ISSUER, {"fingerprint": issuer.fingerprint, "name": issuer.name}))


class _Withdrawn(msgspec.Struct, frozen=True):
    """A revoked CA, and what is to be looked for in a certificate."""

    certificate: x509.Certificate
    key_id: bytes
    key_mark: bytes
    """How what it issues names its key, in DER (RFC 5280 §4.2.1.1); empty where chance could have written the same."""
    name: bytes
    one: RevokedIssuer
    refusal: str


class RevokedKeys:
    """The keys of revoked CAs, to be asked about every certificate that is shown."""

    def __init__(self) -> None:
        self._known: list[_Withdrawn] = []

    def add(self, one: RevokedIssuer) -> None:
        """Refuse what this CA has issued from now on."""
        ca = authority.read_certificate(one.pem.encode())
        key_id = _key_id(ca)
        refusal = f"the certificate was issued by the CA {one.name}, which was revoked at {to_text(one.revoked_at)}"
        mark = bytes((_KEY_IDENTIFIER_TAG, len(key_id))) + key_id if len(key_id) in _MARKING else b""
        self._known.append(_Withdrawn(ca, key_id, mark, ca.subject.public_bytes(), one, refusal))

    def of(self, certificate: bytes) -> RevokedIssuer | None:
        """The revoked CA that has issued a certificate, DER; None when none has."""
        found = self._find(certificate)
        return None if found is None else found.one

    def refusal(self, certificate: bytes) -> str | None:
        """Why a certificate, DER, opens nothing because of its CA; None when that is no reason."""
        found = self._find(certificate)
        return None if found is None else found.refusal

    def key_refusal(self, key: CertificatePublicKeyTypes) -> str | None:
        """Why a CA with this public key does not issue here any more; None when that is no reason."""
        for withdrawn in self._known:
            if withdrawn.certificate.public_key() == key:
                at = to_text(withdrawn.one.revoked_at)
                return f"the key is that of the CA {withdrawn.one.name}, which was revoked at {at}: it needs another"
        return None

    def _find(self, certificate: bytes) -> _Withdrawn | None:
        for withdrawn in self._known:
            # Ten thousand are asked about within a second. What a CA issues names its key, as a rule; who has that
            # name written elsewhere in a certificate is refused for it, and nobody else.
            if withdrawn.key_mark and withdrawn.key_mark in certificate:
                return withdrawn
            # The rest takes long, and of any other CA there is nothing to be found.
            if (withdrawn.name in certificate or not withdrawn.key_mark) and _is_of(withdrawn, certificate):
                return withdrawn
        return None


def public_key(issuer: Issuer) -> CertificatePublicKeyTypes:
    """The public half of the key of a CA."""
    return authority.read_certificate(issuer.pem.encode()).public_key()


def issued_by(one: RevokedIssuer, certificates: Iterable[Held]) -> list[Held]:
    """Those of the certificates that the CA has issued."""
    keys = RevokedKeys()
    keys.add(one)
    return [held for held in certificates if keys.of(_der(held.pem)) is not None]


def _kept(path: Path) -> x509.Certificate | None:
    """The CA of a file; None where the file is damaged, of which the next start speaks if it is needed."""
    try:
        return authority.read_certificate(path.read_bytes())
    except _UNREADABLE:
        return None


def _issuer(certificate: x509.Certificate, in_use: str) -> Issuer:
    fingerprint = authority.fingerprint(certificate)
    name = certificate.subject.rfc4514_string()
    pem = authority.certificate_pem(certificate)
    return Issuer(fingerprint, name, authority.ends_at(certificate), fingerprint == in_use, pem)


def _key_id(ca: x509.Certificate) -> bytes:
    """How what a CA signs names its key (RFC 5280 §4.2.1.1)."""
    try:
        return ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return x509.SubjectKeyIdentifier.from_public_key(ca.public_key()).digest


def _named_key(certificate: x509.Certificate) -> bytes | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return None


def _is_of(withdrawn: _Withdrawn, certificate: bytes) -> bool:
    try:
        shown = x509.load_der_x509_certificate(certificate)
        named = _named_key(shown)
    except _UNREADABLE:
        return False  # It is bound to nobody, or it could have been read.
    return named == withdrawn.key_id or (named is None and _has_signed(withdrawn.certificate, shown))


def _has_signed(ca: x509.Certificate, certificate: x509.Certificate) -> bool:
    if certificate.issuer != ca.subject:
        return False
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _der(pem: str) -> bytes:
    """The first certificate of a PEM text, without looking into it: there are thousands."""
    body = pem.partition("-----BEGIN CERTIFICATE-----")[2].partition("-----END CERTIFICATE-----")[0]
    return base64.b64decode(body)
