"""Keys and certificates on disk: made once, kept, and never half made."""

import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509

from appliance.instant import DAY_MS
from appliance.registry import authority, files, issue, pki
from appliance.registry.model import KeyFolderError, RootKeyError
from appliance.registry.names import ServerNames
from tests.appliance.registry import issuers
from tests.appliance.registry.examples import NAMES, NOW, client_context, server_context, shake_hands

HOST = "gateway-7f3a"
EVERYTHING = {
    *("root.key", "root.pem", "issuing.key", "issuing.pem", "web-ca.key", "web-ca.pem"),
    *("device-trust.pem", "mqtt.key", "mqtt.pem", "web.key", "web.pem"),
}


class PowerCutError(Exception):
    """The machine went dark."""


class FailingDisk:
    """Writes a number of files, and then no more: the next one stays half written."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self, path: Path, text: str, mode: int) -> None:
        if self.left == 0:
            path.with_name(path.name + files.UNFINISHED).write_text(text[: len(text) // 2])
            raise PowerCutError
        self.left -= 1
        files.write(path, text, mode)


def start(folder: Path, write: pki.Write = files.write, names: ServerNames = NAMES, now: int = NOW) -> pki.Pki:
    opened = pki.opened(folder, HOST, now, write)
    pki.renew(opened, names, now, write)
    return opened


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_first_start_makes_everything_and_the_second_changes_nothing(tmp_path: Path) -> None:
    start(tmp_path / "pki")
    first = contents(tmp_path / "pki")
    assert set(first) == EVERYTHING
    start(tmp_path / "pki", now=NOW + 50 * DAY_MS)
    assert contents(tmp_path / "pki") == first


@pytest.mark.parametrize("count", range(len(EVERYTHING)))
def test_a_first_start_that_was_cut_short_is_finished_by_the_next(tmp_path: Path, count: int) -> None:
    folder = tmp_path / "pki"
    with pytest.raises(PowerCutError):
        start(folder, FailingDisk(count))
    before = {name: content for name, content in contents(folder).items() if not name.endswith(files.UNFINISHED)}
    assert len(before) == count

    opened = start(folder)
    after = contents(folder)
    assert set(after) == EVERYTHING
    assert {name: after[name] for name in before} == before
    assert_devices_get_in(opened, tmp_path)


@pytest.mark.parametrize("count", range(2))
def test_a_renewal_that_was_cut_short_leaves_listeners_that_work(tmp_path: Path, count: int) -> None:
    folder = tmp_path / "pki"
    opened = start(folder)
    other = ServerNames(("localhost",), ("10.0.0.9", "127.0.0.1"))
    with pytest.raises(PowerCutError):
        pki.renew(opened, other, NOW, FailingDisk(count))
    assert_devices_get_in(pki.opened(folder, HOST, NOW), tmp_path)


def assert_devices_get_in(opened: pki.Pki, folder: Path) -> None:
    [issued] = issue.issue(opened, ["sensor-001"], NOW)
    (folder / "chain.pem").write_text(issued.bundle.chain_pem)
    (folder / "key.pem").write_text(issued.bundle.key_pem)
    client = client_context(issued.bundle.root_pem, folder / "chain.pem", folder / "key.pem")
    seen = shake_hands(server_context(opened.device_tls, asks_certificate=True), client, "localhost")
    assert seen == ssl.PEM_cert_to_DER_cert(issued.bundle.certificate_pem)


def test_the_listener_of_devices_shows_all_that_lies_under_the_root(tmp_path: Path) -> None:
    opened = start(tmp_path)
    [leaf, between] = x509.load_pem_x509_certificates(opened.device_tls.certificate.read_bytes())
    assert leaf.issuer == between.subject
    assert between == opened.issuing.certificate
    assert x509.load_pem_x509_certificates(opened.device_tls.trust.read_bytes()) == [opened.root, between]
    assert len(x509.load_pem_x509_certificates(opened.web_tls.certificate.read_bytes())) == 1


def test_private_keys_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    start(tmp_path / "pki")
    keys = list((tmp_path / "pki").glob("*.key"))
    assert len(keys) == 5
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}
    assert stat.S_IMODE((tmp_path / "pki").stat().st_mode) == 0o700


def test_other_names_give_other_server_certificates_and_the_same_authorities(tmp_path: Path) -> None:
    start(tmp_path)
    first = contents(tmp_path)
    opened = start(tmp_path, names=ServerNames(("localhost",), ("10.0.0.9", "127.0.0.1")))
    changed = {name for name, content in contents(tmp_path).items() if first[name] != content}
    assert changed == {"mqtt.pem", "web.pem"}
    leaf = authority.read_certificate(opened.device_tls.certificate.read_bytes())
    assert "10.0.0.9" in authority.names_in(leaf).addresses


def test_a_server_certificate_is_renewed_in_the_last_third_of_its_life(tmp_path: Path) -> None:
    opened = start(tmp_path)
    assert not pki.renew(opened, NAMES, NOW + 59 * DAY_MS)
    before = opened.web_tls.certificate.read_bytes()
    assert pki.renew(opened, NAMES, NOW + 61 * DAY_MS)
    assert opened.web_tls.certificate.read_bytes() == before
    assert pki.renew(opened, NAMES, NOW + 300 * DAY_MS)
    assert opened.web_tls.certificate.read_bytes() != before


def test_a_name_beyond_the_lan_is_for_devices_only(tmp_path: Path) -> None:
    names = ServerNames(("localhost", "www.example.com"), ("127.0.0.1", "192.0.2.1"))
    opened = start(tmp_path, names=names)
    web = authority.read_certificate(opened.web_tls.certificate.read_bytes())
    assert authority.names_in(web) == ServerNames(("localhost",), ("127.0.0.1",))
    assert authority.names_in(authority.read_certificate(opened.device_tls.certificate.read_bytes())) == names
    # What cannot be signed for is not missed at each start.
    assert not pki.renew(opened, names, NOW)


@pytest.mark.parametrize("name", ["root", "issuing", "web-ca"])
def test_a_lost_key_of_an_authority_is_told_and_not_replaced(tmp_path: Path, name: str) -> None:
    start(tmp_path)
    (tmp_path / f"{name}.key").unlink()
    with pytest.raises(KeyFolderError, match=f"{name}.key"):
        pki.opened(tmp_path, HOST, NOW)
    assert not (tmp_path / f"{name}.key").exists()


@pytest.mark.parametrize("name", ["root.pem", "issuing.key", "web-ca.pem"])
def test_a_damaged_file_is_told_by_its_name(tmp_path: Path, name: str) -> None:
    start(tmp_path)
    (tmp_path / name).write_text("")
    with pytest.raises(KeyFolderError, match=f"{name}: cannot be read"):
        pki.opened(tmp_path, HOST, NOW)


def test_a_key_of_another_authority_is_told(tmp_path: Path) -> None:
    start(tmp_path)
    (tmp_path / "root.key").write_bytes((tmp_path / "web-ca.key").read_bytes())
    with pytest.raises(KeyFolderError, match=r"not the key of root\.pem"):
        pki.opened(tmp_path, HOST, NOW)


def test_a_lost_server_key_is_made_again_with_its_certificate(tmp_path: Path) -> None:
    opened = start(tmp_path / "pki")
    opened.device_tls.key.unlink()
    assert pki.renew(opened, NAMES, NOW)
    assert_devices_get_in(opened, tmp_path)


def test_without_the_root_key_that_was_removed_on_purpose_everything_goes_on(tmp_path: Path) -> None:
    opened = start(tmp_path / "pki")
    pki.note_export(opened, pki.root_key(opened))
    pki.remove_root(opened)
    again = start(tmp_path / "pki", names=ServerNames(("localhost",), ("10.0.0.9", "127.0.0.1")))
    assert not pki.has_root_key(again)
    assert again.root == opened.root
    assert_devices_get_in(again, tmp_path)
    # Nothing of the CA is made anew when another file of it is lost.
    (tmp_path / "pki" / "issuing.pem").unlink()
    with pytest.raises(KeyFolderError, match=r"issuing\.pem"):
        start(tmp_path / "pki")


def test_a_root_that_was_put_back_can_be_used_and_lost_again(tmp_path: Path) -> None:
    opened = start(tmp_path)
    key = pki.root_key(opened)
    pki.note_export(opened, key)
    pki.remove_root(opened)
    pki.restore_root(opened, key)
    assert set(contents(tmp_path)) == EVERYTHING | {pki.EXPORTED}
    (tmp_path / "root.key").unlink()
    with pytest.raises(KeyFolderError, match=r"root\.key"):
        start(tmp_path)


@pytest.mark.parametrize("with_rsa", [False, True])
def test_devices_of_before_and_after_another_issuer_trust_the_same_root(tmp_path: Path, with_rsa: bool) -> None:
    opened = start(tmp_path / "pki")
    [before] = issue.issue(opened, ["before"], NOW)
    chain, key = issuers.company(with_rsa=with_rsa)
    pki.use_issuer(opened, chain, key)
    used = start(tmp_path / "pki")
    leaf = authority.read_certificate(used.device_tls.certificate.read_bytes())
    assert leaf.issuer == chain[0].subject
    assert_devices_get_in(used, tmp_path)
    (tmp_path / "chain.pem").write_text(before.bundle.chain_pem)
    (tmp_path / "key.pem").write_text(before.bundle.key_pem)
    client = client_context(before.bundle.root_pem, tmp_path / "chain.pem", tmp_path / "key.pem")
    shake_hands(server_context(used.device_tls, asks_certificate=True), client, "localhost")


def test_devices_of_an_issuer_that_was_replaced_still_get_in(tmp_path: Path) -> None:
    opened = pki.use_issuer(start(tmp_path / "pki"), *issuers.company())
    [first] = issue.issue(opened, ["first"], NOW)
    # Also what shows the certificates of that CA as the company knows them.
    assert x509.load_pem_x509_certificates(first.bundle.chain_pem.encode())[1] == opened.issuing.certificate
    pki.use_issuer(opened, *issuers.company())
    used = start(tmp_path / "pki")
    (tmp_path / "chain.pem").write_text(first.bundle.certificate_pem)
    (tmp_path / "key.pem").write_text(first.bundle.key_pem)
    client = client_context(first.bundle.root_pem, tmp_path / "chain.pem", tmp_path / "key.pem")
    shake_hands(server_context(used.device_tls, asks_certificate=True), client, "localhost")


@pytest.mark.parametrize("count", range(5))
def test_a_change_of_issuer_that_was_cut_short_leaves_one_that_works(tmp_path: Path, count: int) -> None:
    opened = start(tmp_path / "pki")
    with pytest.raises(PowerCutError):
        pki.use_issuer(opened, *issuers.company(), FailingDisk(count))
    assert_devices_get_in(start(tmp_path / "pki"), tmp_path)


@pytest.mark.parametrize("ending", [".key", ".pem", ".cross.pem"])
def test_a_lost_file_of_an_issuer_is_told(tmp_path: Path, ending: str) -> None:
    chain, key = issuers.company()
    pki.use_issuer(start(tmp_path), chain, key)
    lost = tmp_path / f"issuer-{authority.fingerprint(chain[0])[:16]}{ending}"
    lost.unlink()
    with pytest.raises(KeyFolderError, match=lost.name):
        start(tmp_path)


def test_the_key_of_another_issuer_is_told(tmp_path: Path) -> None:
    chain, key = issuers.company()
    pki.use_issuer(start(tmp_path), chain, key)
    path = tmp_path / f"issuer-{authority.fingerprint(chain[0])[:16]}.key"
    path.write_text(authority.key_pem(authority.make_key()))
    with pytest.raises(KeyFolderError, match="not the key"):
        start(tmp_path)


def test_without_the_root_key_no_other_issuer_is_taken(tmp_path: Path) -> None:
    opened = start(tmp_path)
    pki.note_export(opened, pki.root_key(opened))
    pki.remove_root(opened)
    with pytest.raises(RootKeyError, match="restore-root"):
        pki.use_issuer(opened, *issuers.company())


def test_further_cas_are_trusted_as_long_as_they_are_told_and_never_ours(tmp_path: Path) -> None:
    made = pki.opened(tmp_path / "pki", "gateway-7f3a", NOW)
    further = issuers.make("Example Factory", authority.make_key())
    pem = authority.certificate_pem(further)
    trusting = pki.trust_also(made, (further,))
    assert pem in trusting.device_tls.trust.read_text()
    assert further not in trusting.ours
    assert made.root in trusting.ours
    again = pki.opened(tmp_path / "pki", "gateway-7f3a", NOW, further=(further,))
    assert pem in again.device_tls.trust.read_text()
    assert pem not in pki.trust_also(again, ()).device_tls.trust.read_text()


def test_a_further_ca_that_no_listener_could_load_keeps_none_of_them_shut(tmp_path: Path) -> None:
    made = pki.opened(tmp_path / "pki", "gateway-7f3a", NOW)
    further = issuers.make("Example Factory", authority.make_key())
    trusting = pki.trust_also(made, (issuers.unloadable(authority.make_key()), further))
    trust = trusting.device_tls.trust
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(trust)
    assert authority.certificate_pem(further) in trust.read_text()
