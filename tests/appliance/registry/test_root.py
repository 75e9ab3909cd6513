"""The root's key in its export, which OpenSSL reads too."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.registry import authority, root
from appliance.registry.model import RootKeyError

PASSPHRASE = "nine blue lamps hum"
SALT, VECTOR = b"s" * 16, b"v" * 16


@given(passphrase=st.text(min_size=12, max_size=30), chance=st.binary(min_size=32, max_size=32))
def test_what_was_exported_is_read_back_with_its_passphrase(passphrase: str, chance: bytes) -> None:
    key = authority.make_key()
    # What makes it slow to guess has no part in this, and would leave time for few examples.
    with pytest.MonkeyPatch.context() as quick:
        quick.setattr(root, "_COST", 256)
        exported = root.encrypted(key, passphrase, chance[:16], chance[16:])
    assert root.decrypted(exported.encode(), passphrase).private_numbers() == key.private_numbers()


def test_openssl_reads_it_and_names_its_parts(tmp_path: Path) -> None:
    key = authority.make_key()
    (tmp_path / "root.pem").write_text(root.encrypted(key, PASSPHRASE, SALT, VECTOR))
    read = ["openssl", "pkey", "-in", "root.pem", "-passin", f"pass:{PASSPHRASE}"]
    plain = subprocess.run(read, cwd=tmp_path, capture_output=True, check=True).stdout
    assert authority.read_key(plain).private_numbers() == key.private_numbers()
    own = root.decrypted((tmp_path / "root.pem").read_bytes(), PASSPHRASE)
    assert own.private_numbers() == key.private_numbers()
    parsed = subprocess.run(
        ["openssl", "asn1parse", "-in", "root.pem"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    for part in ("PBES2", "scrypt", "aes-256-cbc", ":4000"):
        assert part in parsed
    assert [line.rpartition(":")[2] for line in parsed.splitlines() if "INTEGER" in line] == ["4000", "08", "08"]


def test_without_the_passphrase_it_is_not_read() -> None:
    exported = root.encrypted(authority.make_key(), PASSPHRASE, SALT, VECTOR)
    assert "BEGIN ENCRYPTED PRIVATE KEY" in exported
    with pytest.raises(RootKeyError, match="this passphrase"):
        root.decrypted(exported.encode(), PASSPHRASE + "!")


def test_files_that_are_no_export_are_told_apart() -> None:
    with pytest.raises(RootKeyError, match="not encrypted"):
        root.decrypted(authority.key_pem(authority.make_key()).encode(), PASSPHRASE)
    with pytest.raises(RootKeyError, match="the right file"):
        root.decrypted(b"nothing", PASSPHRASE)


def test_a_short_passphrase_is_refused() -> None:
    with pytest.raises(RootKeyError, match="11 characters, expected 12"):
        root.encrypted(authority.make_key(), "x" * 11, SALT, VECTOR)
