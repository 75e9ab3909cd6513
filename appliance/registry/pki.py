"""The gateway's keys and certificates as files: made at the first start, renewed at later ones.

A key is always written before its certificate, and an authority before what it signs. So whatever a
crash leaves behind, the next start finds complete files and makes the ones after them; a certificate
whose key is gone is damage, and never answered by silently making another CA.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from appliance.registry import authority, files
from appliance.registry.authority import Authority, Key, Validity
from appliance.registry.model import KeyFolderError, TlsFiles
from appliance.registry.names import ServerNames

log = logging.getLogger(__name__)

T = TypeVar("T")

Write = Callable[[Path, str, int], None]
"""Puts a text into a file, whole, with this mode."""


class Pki(msgspec.Struct, frozen=True):
    """The folder of keys while it is in use."""

    root: x509.Certificate
    issuing: Authority
    web: Authority
    folder: Path

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


def opened(folder: Path, hostname: str, now: int, write: Write = files.write) -> Pki:
    """Read the authorities of the folder, and make those that are missing.

    Raises `KeyFolderError` when a file is damaged, or open to everyone.
    """
    files.prepare_folder(folder)
    root = _authority(folder, "root", lambda key: authority.make_root(key, now), write)
    issuing = _authority(folder, "issuing", lambda key: authority.make_issuing(key, root, now), write)
    web = _authority(folder, "web-ca", lambda key: authority.make_web_authority(key, hostname, now), write)
    pki = Pki(root.certificate, issuing, web, folder)
    # Some devices send their own certificate alone; with the issuing CA here it is found all the same.
    trust = authority.certificate_pem(root.certificate, issuing.certificate)
    _keep(pki.device_tls.trust, trust, write)
    return pki


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
    between = (pki.issuing.certificate,)
    mqtt = _Listener(
        pki.device_tls, pki.issuing, between, names, authority.mqtt_validity(now), authority.MQTT_LENGTH_MS
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
    certificate = authority.issue_server(listener.authority, listener.names, key, listener.validity)
    write(path, authority.certificate_pem(certificate, *listener.between), files.PUBLIC)
    log.info("server certificate issued file=%s reason=%s", path.name, reason)
    return True


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
