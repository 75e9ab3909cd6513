"""What whoever makes devices is given of a claim: its certificate, its key and how they are used."""

from appliance.enrolment.claims import provision_base
from appliance.enrolment.model import Claim
from appliance.instant import to_text
from appliance.registry.model import Bundle

CERTIFICATE, KEY, ROOT, README = "claim.pem", "claim.key", "root.pem", "README.txt"


def as_files(claim: Claim, bundle: Bundle, host: str, port: int) -> dict[str, bytes]:
    """The content of each file by its name. The key is secret, though it opens nothing but enrolment."""
    texts = {
        CERTIFICATE: bundle.chain_pem,
        KEY: bundle.key_pem,
        ROOT: bundle.root_pem,
        README: _readme(claim, host, port),
    }
    return {name: text.encode() for name, text in texts.items()}


def _readme(claim: Claim, host: str, port: int) -> str:
    return f"""\
Claim {claim.name}

{CERTIFICATE}  what a new device shows until it has a certificate of its own
{KEY}  the private key of it; the gateway keeps no copy
{ROOT}   the gateway's CA: what the device trusts

The claim is for {claim.use_limit} devices, until {to_text(claim.expires_at)}. It can do nothing but enrol.

The device speaks AWS's fleet provisioning by claim (aws-iot-device-sdk, class IotIdentityClient):
  host      {host}, port {port}
  template  {claim.template}
  1. connect with {CERTIFICATE} and {KEY}, under any client identifier
  2. ask for a certificate   $aws/certificates/create/json   or   $aws/certificates/create-from-csr/json
  3. ask for a name          {provision_base(claim.template)}/json
  4. connect again with the new certificate, with the thing's name as client identifier
"""
