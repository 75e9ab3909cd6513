"""The gateway's keys and certificates as files: made at the first start, renewed at later ones.

A key is always written before its certificate, and an authority before what it signs. So whatever a
crash leaves behind, the next start finds complete files and makes the ones after them; a certificate
whose key is gone is damage, and never answered by silently making another CA. The root's key alone may be
gone, where a file says that this was meant.

A CA from elsewhere may issue in the place of our own. It lies in files named for its fingerprint, and the file
`issuer` says which one is in use; it is written last. Our root has signed each of them, so that devices go on
trusting the root alone. The key of such a CA may be in a hardware token; then a file says so in the place of the key.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.registry import authority, files
from appliance.registry.authority import Authority, Key, SigningKey, Validity
from appliance.registry.hardware.key import HardwareKey, SilentSigner
from appliance.registry.hardware.model import HardwareKeyError
from appliance.registry.model import KeyFolderError, RootKeyError, TlsFiles
from appliance.registry.names import ServerNames

log = logging.getLogger(__name__)

T = TypeVar("T")

ISSUER = "issuer"
"""The file that names the CA from elsewhere that is in use, and the beginning of the names of its files."""

HARDWARE = "hardware"
"""The ending of the file that stands for the key of a CA from elsewhere that is in a token."""

EXPORTED = "root-exported"
"""The file that says of which root an export was read back."""

REMOVED = "root-removed"
"""The file that says that the root's key was taken away on purpose."""

ISSUING_REMOVED = "issuing-removed"
"""The file that says that the key of our own issuing CA was taken away on purpose."""

Write = Callable[[Path, str, int], None]
"""Puts a text into a file, whole, with this mode."""


KeyInHardware = Callable[[ec.EllipticCurvePublicKey], SigningKey]
"""Gives the private half of a public key, which is in a token."""


def no_hardware(_: ec.EllipticCurvePublicKey) -> SigningKey:
    """Stand in where no token is asked for. Raises `KeyFolderError`."""
    raise KeyFolderError("the key of the issuing CA is in a hardware token, and none is asked here")


class Pki(msgspec.Struct, frozen=True):
    """The folder of keys while it is in use."""

    root: x509.Certificate
    issuing: Authority
    """What signs devices and the MQTT listener: our own CA, or one from elsewhere."""
    web: Authority
    folder: Path
    between: tuple[x509.Certificate, ...]
    """What the MQTT listener shows between its certificate and the root."""
    shown: tuple[x509.Certificate, ...]
    """What devices show after their certificate."""
    ours: tuple[x509.Certificate, ...] = ()
    """Every CA that this gateway has, or had, the key of."""
    further: tuple[x509.Certificate, ...] = ()
    """CAs that it has no key of, whose certificates get as far as to be judged."""

    @property
    def root_path(self) -> Path:
        """What devices trust."""
        return self.folder / "root.pem"

    @property
    def web_ca_path(self) -> Path:
        """What a person may put into a browser."""
        return self.folder / "web-ca.pem"

    @property
    def device_tls(self) -> TlsFiles:
        """What the MQTT listener is opened with."""
        return TlsFiles(self.folder / "mqtt.pem", self.folder / "mqtt.key", self.folder / "device-trust.pem")

    @property
    def web_tls(self) -> TlsFiles:
        """What the HTTPS listener is opened with."""
        return TlsFiles(self.folder / "web.pem", self.folder / "web.key", self.web_ca_path)


def opened(
    folder: Path,
    hostname: str,
    now: int,
    write: Write = files.write,
    further: tuple[x509.Certificate, ...] = (),
    in_hardware: KeyInHardware = no_hardware,
) -> Pki:
    """Read the authorities of the folder, and make those that are missing; `further` are trusted beside them.

    No token is asked for anything.
    Raises `KeyFolderError` when a file is damaged, or open to everyone.
    """
    files.prepare_folder(folder)
    root, own = _device_authorities(folder, now, write)
    web = _authority(folder, "web-ca", lambda key: authority.make_web_authority(key, hostname, now), write)
    pki = Pki(root, own, web, folder, (own.certificate,), (own.certificate,), further=further)
    in_use = folder / ISSUER
    if in_use.exists():
        pki = _with_issuer(pki, in_use.read_text(encoding="utf-8").strip(), in_hardware)
    return _with_trust(pki, own.certificate, write)


def trust_also(pki: Pki, further: tuple[x509.Certificate, ...], write: Write = files.write) -> Pki:
    """Let the certificates of these CAs, and no others that we have no key of, get as far as to be judged."""
    trusting = msgspec.structs.replace(pki, further=further)
    return _with_trust(trusting, _read(pki.folder / "issuing.pem"), write)


def use_issuer(pki: Pki, chain: Sequence[x509.Certificate], key: SigningKey, write: Write = files.write) -> Pki:
    """Let a CA from elsewhere issue from now on. What was issued before stays good.

    Raises `RootKeyError` when the root's key was removed: it signs the new issuer for the devices that trust it.
    """
    root = Authority(pki.root, root_key(pki))
    name = f"{ISSUER}-{authority.fingerprint(chain[0])[:16]}"
    cross = authority.cross_certify(root, chain[0])
    write(pki.folder / f"{name}.key", authority.key_pem(key), files.PRIVATE)
    write(pki.folder / f"{name}.pem", authority.certificate_pem(*chain), files.PUBLIC)
    write(pki.folder / f"{name}.cross.pem", authority.certificate_pem(cross), files.PUBLIC)
    used = _with_trust(_with_issuer(pki, name, no_hardware), _read(pki.folder / "issuing.pem"), write)
    # Last: where a full disk ends this before, nothing was changed.
    write(pki.folder / ISSUER, name + "\n", files.PUBLIC)
    return used


def use_hardware(
    pki: Pki, chain: Sequence[x509.Certificate], key: ec.EllipticCurvePrivateKey, now: int, write: Write = files.write
) -> Pki:
    """Let a CA issue from now on whose key is in a token; without a `chain`, one that our root signs now.

    Raises `RootKeyError` when the root's key was removed, and nothing is changed.
    """
    root = Authority(pki.root, root_key(pki))
    chain = chain or [authority.make_issuing(key, root, now)]
    is_ours = chain[0].issuer == pki.root.subject
    name = f"{ISSUER}-{authority.fingerprint(chain[0])[:16]}"
    cross = chain[0] if is_ours else authority.cross_certify(root, chain[0])
    write(pki.folder / f"{name}.{HARDWARE}", "The key of this CA is in a hardware token.\n", files.PUBLIC)
    write(pki.folder / f"{name}.pem", authority.certificate_pem(*chain), files.PUBLIC)
    write(pki.folder / f"{name}.cross.pem", authority.certificate_pem(cross), files.PUBLIC)
    used = _with_trust(_with_issuer(pki, name, lambda _: key), _read(pki.folder / "issuing.pem"), write)
    write(pki.folder / ISSUER, name + "\n", files.PUBLIC)
    return used


def root_key(pki: Pki) -> Key:
    """The private key of the root. Raises `RootKeyError` when it was removed."""
    path = pki.folder / "root.key"
    if not path.exists():
        raise RootKeyError("the key of the root was removed from this gateway: put it back with `ca restore-root`")
    return _parsed(path, authority.read_key, files.read_private(path))


def note_export(pki: Pki, key: Key, write: Write = files.write) -> None:
    """Note that an export was read back and holds the root's key. Raises `RootKeyError` when it holds another."""
    _check_root_key(pki, key)
    write(pki.folder / EXPORTED, authority.fingerprint(pki.root) + "\n", files.PUBLIC)


def is_exported(pki: Pki) -> bool:
    """Whether an export of this root's key was read back."""
    path = pki.folder / EXPORTED
    return path.exists() and path.read_text(encoding="utf-8").strip() == authority.fingerprint(pki.root)


def has_root_key(pki: Pki) -> bool:
    """Whether the root's key lies on this gateway."""
    return (pki.folder / "root.key").exists()


def remove_root(pki: Pki, write: Write = files.write) -> None:
    """Take the root's key away. Raises `RootKeyError` unless an export of it was read back."""
    root_key(pki)
    if not is_exported(pki):
        raise RootKeyError("the key of the root was never exported: run `ca export-root FILE` first")
    # The note comes first: a key that is gone without it is damage.
    write(pki.folder / REMOVED, authority.fingerprint(pki.root) + "\n", files.PUBLIC)
    (pki.folder / "root.key").unlink()
    files.sync_folder(pki.folder)


def restore_root(pki: Pki, key: Key, write: Write = files.write) -> None:
    """Put the root's key back. Raises `RootKeyError` when it is another key."""
    _check_root_key(pki, key)
    write(pki.folder / "root.key", authority.key_pem(key), files.PRIVATE)
    (pki.folder / REMOVED).unlink(missing_ok=True)
    files.sync_folder(pki.folder)


def remove_issuer_keys(pki: Pki, write: Write = files.write) -> list[str]:
    """Take away the private keys of issuing CAs, for one whose key is in a token issues now; gives their files."""
    own = pki.folder / "issuing.key"
    found = sorted(path for path in (own, *pki.folder.glob(f"{ISSUER}-*.key")) if path.exists())
    if own in found:
        # As with the root's: a key that is gone without a note is damage.
        write(pki.folder / ISSUING_REMOVED, authority.fingerprint(_read(own.with_suffix(".pem"))) + "\n", files.PUBLIC)
    for path in found:
        path.unlink()
    files.sync_folder(pki.folder)
    return [path.name for path in found]


class _Listener(msgspec.Struct, frozen=True):
    """A listener's certificate: who signs it, for which names, for how long."""

    tls: TlsFiles
    authority: Authority
    between: tuple[x509.Certificate, ...]
    """The CAs that the other side does not have yet."""
    names: ServerNames
    validity: Validity
    length_ms: int


def renew(pki: Pki, names: ServerNames, now: int, write: Write = files.write) -> bool:
    """Issue the server certificates that are missing or no longer fit; whether there were any."""
    allowed = authority.names_allowed_by(pki.web.certificate, names)
    mqtt = _Listener(
        pki.device_tls, pki.issuing, pki.between, names, authority.mqtt_validity(now), authority.MQTT_LENGTH_MS
    )
    web = _Listener(pki.web_tls, pki.web, (), allowed, authority.web_validity(now), authority.WEB_LENGTH_MS)
    renewed = [_renew_one(listener, now, write) for listener in (mqtt, web)]
    if renewed[1] and allowed != names:
        log.info("web certificate left out names that its CA may not sign names=%s", allowed.missing_from(names))
    return any(renewed)


def _renew_one(listener: _Listener, now: int, write: Write) -> bool:
    path = listener.tls.certificate
    key = _key(listener.tls.key, write)
    reason = "it is missing"
    if path.exists():
        reason = authority.reissue_reason(
            _parsed(path, authority.read_certificate, path.read_bytes()),
            listener.authority.certificate,
            key,
            listener.names,
            listener.length_ms,
            now,
        )
    if not reason:
        return False
    try:
        certificate = authority.issue_server(listener.authority, listener.names, key, listener.validity)
    except HardwareKeyError as error:
        if not path.exists():
            raise
        # Devices that know its names still get in by the one that is there.
        log.warning("server certificate not issued again file=%s because=%s reason=%s", path.name, reason, error)
        return False
    write(path, authority.certificate_pem(certificate, *listener.between), files.PUBLIC)
    log.info("server certificate issued file=%s reason=%s", path.name, reason)
    return True


def _device_authorities(folder: Path, now: int, write: Write) -> tuple[x509.Certificate, Authority]:
    """The root's certificate, and our own issuing CA."""
    if (folder / REMOVED).exists() and not (folder / "root.key").exists():
        if not (folder / "issuing.pem").exists():
            raise KeyFolderError(f"{folder / 'issuing.pem'}: it is missing: put the folder back from a backup")
        root = _read(folder / "root.pem")
        return root, _own_issuing(folder, lambda _: root, write)
    made = _authority(folder, "root", lambda key: authority.make_root(key, now), write)
    return made.certificate, _own_issuing(folder, lambda key: authority.make_issuing(key, made, now), write)


def _own_issuing(folder: Path, make: Callable[[Key], x509.Certificate], write: Write) -> Authority:
    if (folder / ISSUING_REMOVED).exists() and not (folder / "issuing.key").exists():
        certificate = _read(folder / "issuing.pem")
        public = certificate.public_key()
        if (folder / ISSUER).exists() and isinstance(public, ec.EllipticCurvePublicKey):
            return Authority(certificate, HardwareKey(public, SilentSigner("the key of this CA was removed")))
        raise KeyFolderError(f"{folder / ISSUER}: it is missing: put the folder back from a backup")
    return _authority(folder, "issuing", make, write)


def _with_issuer(pki: Pki, name: str, in_hardware: KeyInHardware) -> Pki:
    """The folder of keys with a CA from elsewhere, or with its key elsewhere, in use."""
    path = pki.folder / f"{name}.pem"
    if not path.exists():
        raise KeyFolderError(f"{path}: it is missing: put the folder back from a backup")
    chain = _parsed(path, x509.load_pem_x509_certificates, path.read_bytes())
    public = chain[0].public_key()
    if (pki.folder / f"{name}.{HARDWARE}").exists() and isinstance(public, ec.EllipticCurvePublicKey):
        key = in_hardware(public)
    else:
        key = _issuer_key(pki.folder / f"{name}.key")
    if key.public_key() != public:
        raise KeyFolderError(
            f"{path.with_suffix('.key')}: this is not the key of {path.name}: put the folder back from a backup"
        )
    # Whoever checks has the top of the chain already.
    shown = tuple(one for one in chain if one.issuer != one.subject) or (chain[0],)
    return msgspec.structs.replace(
        pki, issuing=Authority(chain[0], key), between=(_read(pki.folder / f"{name}.cross.pem"),), shown=shown
    )


def _issuer_key(path: Path) -> SigningKey:
    if not path.exists():
        raise KeyFolderError(f"{path}: it is missing: put the folder back from a backup")
    return _parsed(path, authority.read_signing_key, files.read_private(path))


def _with_trust(pki: Pki, own: x509.Certificate, write: Write) -> Pki:
    """Write down whose devices get in: ours, those of every CA that has issued in our place, and further ones."""
    # Some devices send their own certificate alone; with the issuing CA here it is found all the same.
    crosses = [_read(path) for path in sorted(pki.folder.glob(f"{ISSUER}-*.cross.pem"))]
    # One that a listener could not load would keep all of them shut.
    further = [each for each in pki.further if authority.is_loadable(each)]
    _keep(pki.device_tls.trust, authority.certificate_pem(pki.root, own, *crosses, *further), write)
    return msgspec.structs.replace(pki, ours=(pki.root, own, pki.web.certificate, *crosses))


def _check_root_key(pki: Pki, key: Key) -> None:
    if key.public_key() != pki.root.public_key():
        raise RootKeyError("this is the key of another root than this gateway's")


def _read(path: Path) -> x509.Certificate:
    if not path.exists():
        raise KeyFolderError(f"{path}: it is missing: put the folder back from a backup")
    return _parsed(path, authority.read_certificate, path.read_bytes())


def _authority(folder: Path, name: str, make: Callable[[Key], x509.Certificate], write: Write) -> Authority:
    path = folder / f"{name}.pem"
    key_path = folder / f"{name}.key"
    if not path.exists():
        key = _key(key_path, write)
        certificate = make(key)
        write(path, authority.certificate_pem(certificate), files.PUBLIC)
        log.info("certificate authority created file=%s fingerprint=%s", path.name, authority.fingerprint(certificate))
        return Authority(certificate, key)
    if not key_path.exists():
        raise KeyFolderError(f"{key_path}: the key of {path.name} is missing: put the folder back from a backup")
    certificate = _parsed(path, authority.read_certificate, path.read_bytes())
    key = _key(key_path, write)
    if certificate.public_key() != key.public_key():
        raise KeyFolderError(f"{key_path}: this is not the key of {path.name}: put the folder back from a backup")
    return Authority(certificate, key)


def _key(path: Path, write: Write) -> Key:
    if path.exists():
        return _parsed(path, authority.read_key, files.read_private(path))
    key = authority.make_key()
    write(path, authority.key_pem(key), files.PRIVATE)
    return key


def _keep(path: Path, text: str, write: Write) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write(path, text, files.PUBLIC)


def _parsed(path: Path, read: Callable[[bytes], T], content: bytes) -> T:
    try:
        return read(content)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFolderError(f"{path}: cannot be read: {error}: put the folder back from a backup") from error
