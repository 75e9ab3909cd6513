"""What a person can have done with the keys of the device CA, each with what the audit log is told of it.

Each function takes the folder of keys and gives a `Tended`. They read and write files and take their time:
the registry runs them in a thread, one at a time.
"""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from appliance.audit.model import Entry
from appliance.instant import to_text
from appliance.registry import authority, issuer, pki, root
from appliance.registry.hardware import request
from appliance.registry.hardware.key import HardwareKey
from appliance.registry.model import InvalidIssuerError, IssuerKeyError
from appliance.registry.pki import Pki

T = TypeVar("T")

KeyRefusal = Callable[[CertificatePublicKeyTypes], str | None]
"""Says why a CA with a public key may not issue; None when it may."""

ROOT = "root"
ISSUER = "issuer"
IN_HARDWARE = "hardware"


class Tended(msgspec.Struct, Generic[T], frozen=True):
    """The folder of keys as it is now, what came of it, and what is told."""

    pki: Pki
    result: T
    entry: Entry


class AuthorityStatus(msgspec.Struct, frozen=True):
    """How the device CA stands. Fingerprints are SHA-256, moments ISO 8601."""

    root: str
    root_expires_at: str
    root_key: str
    """`here`, `exported` (here, and an export was read back) or `removed`."""
    issuer: str
    issuer_name: str
    issuer_expires_at: str
    issuer_is_ours: bool
    issuer_key: str = "here"
    """`here` or `hardware`."""


def no_key_refused(_: CertificatePublicKeyTypes) -> None:
    """Stand in where no CA was revoked."""


def export_root(folder: Pki, passphrase: str, chance: bytes) -> Tended[str]:
    """The root's key, encrypted with a passphrase; `chance` is 32 random bytes. Raises `RootKeyError`."""
    salt, vector = chance[: root.SALT_BYTES], chance[root.SALT_BYTES :]
    exported = root.encrypted(pki.root_key(folder), passphrase, salt, vector)
    return Tended(folder, exported, Entry("root.export", ROOT, _named(folder)))


def confirm_export(folder: Pki, exported: str, passphrase: str) -> Tended[None]:
    """Note that an export was read back from where it was put. Raises `RootKeyError`."""
    pki.note_export(folder, root.decrypted(exported.encode(), passphrase))
    return Tended(folder, None, Entry("root.export_confirm", ROOT, _named(folder)))


def remove_root(folder: Pki) -> Tended[None]:
    """Take the root's key away. Raises `RootKeyError` unless an export of it was read back."""
    pki.remove_root(folder)
    return Tended(folder, None, Entry("root.remove", ROOT, _named(folder)))


def restore_root(folder: Pki, exported: str, passphrase: str) -> Tended[None]:
    """Put the root's key back from an export. Raises `RootKeyError`."""
    pki.restore_root(folder, root.decrypted(exported.encode(), passphrase))
    return Tended(folder, None, Entry("root.restore", ROOT, _named(folder)))


def use_issuer(
    folder: Pki, certificates: bytes, key: bytes, now: int, refusal: KeyRefusal = no_key_refused
) -> Tended[AuthorityStatus]:
    """Let a CA from elsewhere issue from now on. Raises `InvalidIssuerError`, `RootKeyError`."""
    chain, signing = issuer.read_issuer(certificates, key, now)
    _refuse_revoked([one.public_key() for one in chain], refusal)
    used = pki.use_issuer(folder, chain, signing)
    result = status(used)
    return Tended(used, result, Entry("issuer.use", ISSUER, {"fingerprint": result.issuer, "name": result.issuer_name}))


def use_hardware(
    folder: Pki, key: HardwareKey, certificates: bytes, now: int, refusal: KeyRefusal = no_key_refused
) -> Tended[AuthorityStatus]:
    """Let a CA issue whose key is in a token; without `certificates`, one under our root.

    Raises `InvalidIssuerError`, `RootKeyError`, and `HardwareKeyError` unless the token signs.
    """
    # Before anything is changed: what cannot sign would leave the gateway without an issuer.
    request.make(key)
    chain = issuer.read_chain(certificates, key.public_key(), now) if certificates else []
    _refuse_revoked([key.public_key(), *(one.public_key() for one in chain)], refusal)
    used = pki.use_hardware(folder, chain, key, now)
    result = status(used)
    told = {"fingerprint": result.issuer, "name": result.issuer_name, "key": IN_HARDWARE}
    return Tended(used, result, Entry("issuer.use", ISSUER, told))


def remove_issuer_keys(folder: Pki) -> Tended[list[str]]:
    """Take the private keys of issuing CAs off this gateway; gives the names of their files.

    Raises `IssuerKeyError` unless the CA in use has its key in a token, and there is something to remove; and
    `HardwareKeyError` unless the token signs with just that key.
    """
    if not isinstance(folder.issuing.key, HardwareKey):
        raise IssuerKeyError(
            "the key of the issuing CA is used: it is on this gateway and in no token. Run `ca use-hsm` first"
        )
    # A signature is checked against the issuing certificate: another key in the token is found out here.
    request.make(folder.issuing.key)
    removed = pki.remove_issuer_keys(folder)
    if not removed:
        raise IssuerKeyError("there is no key of an issuing CA on this gateway: nothing was removed")
    told = {"fingerprint": authority.fingerprint(folder.issuing.certificate), "files": ", ".join(removed)}
    return Tended(folder, removed, Entry("issuer.remove_keys", ISSUER, told))


def status(folder: Pki) -> AuthorityStatus:
    """How the device CA stands."""
    key = "removed"
    if pki.has_root_key(folder):
        key = "exported" if pki.is_exported(folder) else "here"
    signing = folder.issuing.certificate
    return AuthorityStatus(
        root=authority.fingerprint(folder.root),
        root_expires_at=to_text(authority.ends_at(folder.root)),
        root_key=key,
        issuer=authority.fingerprint(signing),
        issuer_name=signing.subject.rfc4514_string(),
        issuer_expires_at=to_text(authority.ends_at(signing)),
        issuer_is_ours=signing.issuer == folder.root.subject,
        issuer_key=IN_HARDWARE if isinstance(folder.issuing.key, HardwareKey) else "here",
    )


def _refuse_revoked(chain: Sequence[CertificatePublicKeyTypes], refusal: KeyRefusal) -> None:
    for key in chain:
        reason = refusal(key)
        if reason:
            raise InvalidIssuerError(reason)


def _named(folder: Pki) -> dict[str, str]:
    return {"fingerprint": authority.fingerprint(folder.root)}
