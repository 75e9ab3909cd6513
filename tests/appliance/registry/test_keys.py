"""Each thing that is done with the keys is told, and nothing secret is told of it."""

from pathlib import Path

import pytest

from appliance.registry import keys, pki
from appliance.registry.model import RootKeyError
from tests.appliance.registry import issuers
from tests.appliance.registry.examples import NOW

pytestmark = pytest.mark.usefixtures("quick_exports")

PASSPHRASE = "nine blue lamps hum"
CHANCE = bytes(range(32))


@pytest.fixture
def folder(tmp_path: Path) -> pki.Pki:
    return pki.opened(tmp_path / "pki", "gateway-7f3a", NOW)


def test_the_way_of_the_root_key_out_and_back(folder: pki.Pki) -> None:
    assert keys.status(folder).root_key == "here"
    with pytest.raises(RootKeyError, match="never exported"):
        keys.remove_root(folder)
    exported = keys.export_root(folder, PASSPHRASE, CHANCE)
    # Nobody has read it back yet.
    with pytest.raises(RootKeyError, match="never exported"):
        keys.remove_root(folder)
    confirmed = keys.confirm_export(folder, exported.result, PASSPHRASE)
    assert keys.status(folder).root_key == "exported"
    removed = keys.remove_root(folder)
    assert keys.status(folder).root_key == "removed"
    with pytest.raises(RootKeyError, match="ca restore-root"):
        keys.export_root(folder, PASSPHRASE, CHANCE)
    restored = keys.restore_root(folder, exported.result, PASSPHRASE)
    assert keys.status(folder).root_key == "exported"
    told = [one.entry.action for one in (exported, confirmed, removed, restored)]
    assert told == ["root.export", "root.export_confirm", "root.remove", "root.restore"]
    assert PASSPHRASE not in str([one.entry for one in (exported, confirmed, removed, restored)])


def test_the_export_of_another_gateway_is_not_taken(folder: pki.Pki, tmp_path: Path) -> None:
    other = pki.opened(tmp_path / "other", "gateway-1111", NOW)
    exported = keys.export_root(other, PASSPHRASE, CHANCE).result
    for act in (keys.confirm_export, keys.restore_root):
        with pytest.raises(RootKeyError, match="another root"):
            act(folder, exported, PASSPHRASE)


def test_another_issuer_is_named(folder: pki.Pki) -> None:
    assert keys.status(folder).issuer_is_ours
    chain, key = issuers.company()
    tended = keys.use_issuer(folder, *issuers.files(chain, key), NOW)
    assert tended.result == keys.status(tended.pki)
    assert tended.result.issuer_name == "CN=Example Company Devices"
    assert not tended.result.issuer_is_ours
    assert tended.entry.details["fingerprint"] == tended.result.issuer
