"""A token is asked for what is needed, and what goes wrong with it is said so that a person can mend it."""

import itertools
import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.config import CaConfig
from appliance.registry.hardware.model import HardwareKeyError, PinRefusedError
from appliance.registry.hardware.refused import RefusedPin
from appliance.registry.hardware.token import Token
from tests.appliance.registry.hardware.softhsm import PIN, Shelf, needs_softhsm

ALGORITHM = ec.ECDSA(hashes.SHA256())
DIGEST = bytes(32)
LABELS = map("token-{}".format, itertools.count())


@pytest.fixture
def settings(shelf: Shelf) -> CaConfig:
    return shelf.add(next(LABELS))


@pytest.fixture
def token(settings: CaConfig) -> Iterator[Token]:
    token = Token(settings)
    yield token
    token.close()


@needs_softhsm
def test_a_key_is_made_once_and_found_again_by_its_label(token: Token, settings: CaConfig) -> None:
    assert "no private key with the label 'issuing'" in token.check()
    key = token.key()
    assert token.key().public_key() == key.public_key()
    assert (token.check(), key.curve.name) == ("", "secp256r1")
    token.close()
    again = Token(settings)
    assert again.key().public_key() == key.public_key()
    again.close()


@needs_softhsm
def test_what_it_signs_is_believed(token: Token) -> None:
    key = token.key()
    signature = key.sign(b"something", ALGORITHM)
    key.public_key().verify(signature, b"something", ALGORITHM)


@needs_softhsm
def test_the_key_does_not_leave_the_token(token: Token) -> None:
    key = token.key()
    assert token._open is not None
    import pkcs11  # noqa: PLC0415  an extra

    assert token._open.key[pkcs11.Attribute.SENSITIVE]
    assert not token._open.key[pkcs11.Attribute.EXTRACTABLE]
    with pytest.raises(HardwareKeyError):
        key.private_numbers()


@needs_softhsm
def test_a_session_that_was_ended_is_opened_once_more(token: Token, caplog: pytest.LogCaptureFixture) -> None:
    key = token.key()
    assert token._open is not None
    token._open.session.close()
    with caplog.at_level(logging.DEBUG):
        assert key.sign(b"a", ALGORITHM)
    assert "asked again after a failure" in caplog.text


@needs_softhsm
def test_a_token_that_is_gone_is_told_of_and_one_that_is_back_signs(token: Token, shelf: Shelf) -> None:
    key = token.key()
    shelf.take_away()
    token._open.session.close()  # type: ignore[union-attr]
    for _ in range(2):
        with pytest.raises(HardwareKeyError, match=r"is it (still there|plugged in)\?"):
            key.sign(b"a", ALGORITHM)
    assert token.trouble
    shelf.bring_back()
    assert key.sign(b"a", ALGORITHM)
    assert not token.trouble


@needs_softhsm
def test_a_pin_that_was_refused_is_not_shown_again_before_its_file_changes(
    token: Token, shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    token.key()
    token.close()
    shelf.show_pin("0815")
    try:
        with pytest.raises(PinRefusedError, match="correct that file"):
            token.sign(DIGEST)
        # A token that was asked again would say the same as before, and count.
        for _ in range(20):
            with pytest.raises(PinRefusedError, match="not shown again"):
                token.sign(DIGEST)
    finally:
        shelf.show_pin(PIN)
    assert len(token.sign(DIGEST)) == 64
    with caplog.at_level(logging.DEBUG):
        assert "0815" not in caplog.text
        assert PIN not in caplog.text


@needs_softhsm
def test_a_pin_that_was_refused_is_not_shown_by_the_next_process_either(
    settings: CaConfig, shelf: Shelf, tmp_path: Path
) -> None:
    known = tmp_path / "pin-refused"

    def started() -> Token:
        return Token(settings, RefusedPin(known, bytes(16)))

    shelf.show_pin("0815")
    with pytest.raises(PinRefusedError, match="correct that file"):
        started().key()
    for _ in range(3):
        # The file may be another each time, as credentials of systemd are.
        shelf.show_pin("0815")
        with pytest.raises(PinRefusedError, match=f"not shown again.*remove {known}"):
            started().key()
    shelf.show_pin(PIN)
    token = started()
    with closing(token):
        token.key()
    assert not known.exists()


@needs_softhsm
def test_a_label_that_no_token_has_is_said(settings: CaConfig) -> None:
    with pytest.raises(HardwareKeyError, match="no token with the label 'nobody' is there"):
        Token(msgspec.structs.replace(settings, pkcs11_token="nobody")).key()


@needs_softhsm
def test_a_pin_file_that_others_can_read_is_refused(settings: CaConfig, tmp_path: Path) -> None:
    open_to_all = tmp_path / "pin"
    for mode, expected in ((0o644, "expected mode 600"), (None, "cannot be read")):
        if mode is None:
            open_to_all.unlink()
        else:
            open_to_all.write_text(PIN)
            open_to_all.chmod(mode)
        with pytest.raises(HardwareKeyError, match=expected):
            Token(msgspec.structs.replace(settings, pin_file=str(open_to_all))).key()


def test_a_module_that_is_not_there_is_said(tmp_path: Path) -> None:
    settings = CaConfig(str(tmp_path / "nothing.so"), "ca", "issuing", str(tmp_path / "pin"))
    assert "nothing.so" in Token(settings).check()


def test_without_settings_it_says_which_one_is_missing() -> None:
    token = Token(CaConfig())
    assert not token.is_configured
    with pytest.raises(HardwareKeyError, match=r"ca\.pkcs11_module"):
        token.sign(DIGEST)
    token.close()
