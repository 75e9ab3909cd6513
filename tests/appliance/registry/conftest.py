"""Tokens of SoftHSM, keys that no test changes, and exports that cost little."""

from collections.abc import Iterator

import pytest

from appliance.registry import pki, root
from tests.appliance.registry.examples import NOW
from tests.appliance.registry.hardware.softhsm import PIN, Shelf


@pytest.fixture(scope="session")
def whole_shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """One for all tests: a PKCS #11 module reads its settings once in a process."""
    return Shelf(tmp_path_factory.mktemp("softhsm"))


@pytest.fixture
def shelf(whole_shelf: Shelf) -> Iterator[Shelf]:
    """The tokens, with the right PIN and all of them there, before and after."""
    yield whole_shelf
    whole_shelf.show_pin(PIN)
    if not whole_shelf.tokens.exists():
        whole_shelf.bring_back()


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> pki.Pki:
    return pki.opened(tmp_path_factory.mktemp("keys") / "pki", "gateway-7f3a", NOW)


@pytest.fixture
def quick_exports(monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes an export slow to guess is left out: `test_root` has it."""
    monkeypatch.setattr(root, "_COST", 256)
