"""What is given of a claim."""

import ast

from appliance.enrolment import leaflet
from appliance.registry.bundle import Address
from appliance.registry.model import Bundle
from tests.appliance.enrolment.examples import NOW, claim


def test_it_holds_what_a_bearer_needs_and_says_how_it_is_used() -> None:
    bundle = Bundle("claim", "CERT", "CHAIN", "KEY", "ROOT", "ab" * 32, NOW)
    files = leaflet.as_files(claim(template="fleet"), bundle, Address("gateway.local", 18883))
    assert {name: text for name, text in files.items() if name not in (leaflet.README, leaflet.PROGRAM)} == {
        leaflet.CERTIFICATE: b"CHAIN",
        leaflet.KEY: b"KEY",
        leaflet.ROOT: b"ROOT",
    }
    readme = files[leaflet.README].decode()
    for text in ("gateway.local, port 18883", "$aws/provisioning-templates/fleet/provision/json", "10 devices"):
        assert text in readme
    assert "KEY" not in readme


def test_the_program_names_the_template_and_where_the_gateway_is_and_no_secret() -> None:
    bundle = Bundle("claim", "CERT", "CHAIN", "TOP SECRET", "ROOT", "ab" * 32, NOW)
    program = leaflet.as_files(claim(template="fleet"), bundle, Address("192.0.2.7", 18883))[leaflet.PROGRAM].decode()
    ast.parse(program)
    for text in ('endpoint="192.0.2.7"', "port=18883", 'template_name="fleet"'):
        assert text in program
    assert "TOP SECRET" not in program
