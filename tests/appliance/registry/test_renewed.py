"""What is told of the server certificates."""

from appliance.audit.kinds import KINDS
from appliance.instant import DAY_MS, to_text
from appliance.registry import authority, pki, renewed
from tests.appliance.registry.examples import NAMES, NOW


def test_only_what_took_the_place_of_another_is_told(keys: pki.Pki) -> None:
    assert renewed.shown(keys) == {}
    pki.renew(keys, NAMES, NOW)
    first = renewed.shown(keys)
    assert renewed.entries({}, first) == renewed.entries(first, first) == []
    later = NOW + authority.WEB_LENGTH_MS - DAY_MS
    assert pki.renew(keys, NAMES, later)
    told = renewed.entries(first, renewed.shown(keys))
    assert "web" in [entry.subject for entry in told]
    for entry in told:
        shown = authority.read_certificate(renewed.shown(keys)[entry.subject])
        assert entry.action in KINDS
        assert entry.details["fingerprint"] == authority.fingerprint(shown)
        assert entry.details["expires_at"] == to_text(authority.ends_at(shown))
