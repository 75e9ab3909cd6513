"""What is given of a claim."""

from appliance.enrolment import leaflet
from appliance.registry.model import Bundle
from tests.appliance.enrolment.examples import NOW, claim


def test_it_holds_what_a_bearer_needs_and_says_how_it_is_used() -> None:
    bundle = Bundle("claim", "CERT", "CHAIN", "KEY", "ROOT", "ab" * 32, NOW)
    files = leaflet.as_files(claim(template="fleet"), bundle, "gateway.local", 8883)
    assert {name: text for name, text in files.items() if name != leaflet.README} == {
        leaflet.CERTIFICATE: b"CHAIN",
        leaflet.KEY: b"KEY",
        leaflet.ROOT: b"ROOT",
    }
    readme = files[leaflet.README].decode()
    for text in ("gateway.local, port 8883", "$aws/provisioning-templates/fleet/provision/json", "10 devices"):
        assert text in readme
    assert "KEY" not in readme
