"""What whoever makes devices is given of a claim: certificate, key, how they are used, and a program that uses them."""

from appliance.enrolment.claims import provision_base
from appliance.enrolment.model import Claim
from appliance.instant import to_text
from appliance.registry.bundle import Address
from appliance.registry.model import Bundle

CERTIFICATE, KEY, ROOT, README, PROGRAM = "claim.pem", "claim.key", "root.pem", "README.txt", "enrol_aws_iot_sdk.py"


def as_files(claim: Claim, bundle: Bundle, address: Address) -> dict[str, bytes]:
    """The content of each file by its name. The key is secret, though it opens nothing but enrolment."""
    texts = {
        CERTIFICATE: bundle.chain_pem,
        KEY: bundle.key_pem,
        ROOT: bundle.root_pem,
        README: _readme(claim, address),
        PROGRAM: _program(claim, address),
    }
    return {name: text.encode() for name, text in texts.items()}


def _readme(claim: Claim, address: Address) -> str:
    return f"""\
Claim {claim.name}

{CERTIFICATE:<20}  what a new device shows until it has a certificate of its own
{KEY:<20}  the private key of it; the gateway keeps no copy
{ROOT:<20}  the gateway's CA: what the device trusts
{PROGRAM:<20}  enrols one device and sends its first reading, with awsiotsdk for Python

The claim is for {claim.use_limit} devices, until {to_text(claim.expires_at)}. It can do nothing but enrol.

The device speaks AWS's fleet provisioning by claim (aws-iot-device-sdk, class IotIdentityClient):
  host      {address.host}, port {address.mqtt_port}
  template  {claim.template}
  1. connect with {CERTIFICATE} and {KEY}, under any client identifier
  2. ask for a certificate   $aws/certificates/create/json   or   $aws/certificates/create-from-csr/json
  3. ask for a name          {provision_base(claim.template)}/json
  4. connect again with the new certificate, with the thing's name as client identifier
"""


def _program(claim: Claim, address: Address) -> str:
    return f'''\
"""pip install awsiotsdk, then run this inside its folder: enrols one device, which then sends a reading.

    python {PROGRAM} SERIAL_NUMBER [PARAMETER=VALUE ...]

Certificate and key of the device are put into a folder beside this file, named as the device.
"""

import json
import sys
from concurrent.futures import Future
from pathlib import Path

from awscrt import mqtt5
from awscrt.mqtt_request_response import ClientOptions
from awsiot import iotidentity, mqtt5_client_builder

FOLDER = Path(__file__).parent


def connect(client_id, certificate, key):
    connected, stopped = Future(), Future()
    client = mqtt5_client_builder.mtls_from_path(
        endpoint="{address.host}",
        port={address.mqtt_port},
        cert_filepath=str(certificate),
        pri_key_filepath=str(key),
        ca_filepath=str(FOLDER / "{ROOT}"),
        client_id=client_id,
        on_lifecycle_connection_success=lambda event: connected.set_result(None),
        on_lifecycle_connection_failure=lambda event: connected.set_exception(event.exception),
        on_lifecycle_stopped=lambda event: stopped.set_result(None),
    )
    client.start()
    connected.result(20)
    return client, stopped


if len(sys.argv) == 1:
    sys.exit(__doc__)
serial_number = sys.argv[1]
parameters = {{"SerialNumber": serial_number}} | dict(word.split("=", 1) for word in sys.argv[2:])

claim, claim_stopped = connect(f"new-{{serial_number}}", FOLDER / "{CERTIFICATE}", FOLDER / "{KEY}")
identity = iotidentity.IotIdentityClientV2(claim, ClientOptions(2, 0))
made = identity.create_keys_and_certificate(iotidentity.CreateKeysAndCertificateRequest()).result(20)
thing = identity.register_thing(
    iotidentity.RegisterThingRequest(
        template_name="{claim.template}",
        certificate_ownership_token=made.certificate_ownership_token,
        parameters=parameters,
    )
).result(20)
claim.stop()
claim_stopped.result(20)

own = FOLDER / thing.thing_name.replace(":", "_")
own.mkdir(mode=0o700, exist_ok=True)
for name, text in (("certificate.pem", made.certificate_pem), ("key.pem", made.private_key)):
    (own / name).touch(mode=0o600)
    (own / name).write_text(text)

device, device_stopped = connect(thing.thing_name, own / "certificate.pem", own / "key.pem")
reading = mqtt5.PublishPacket(
    topic=f"sensors/{{thing.thing_name}}/telemetry",
    payload=json.dumps({{"temperature": 21.5}}),
    qos=mqtt5.QoS.AT_LEAST_ONCE,
)
device.publish(reading).result(20)
print(f"{{thing.thing_name}} is enrolled, and its first reading is on the gateway's disk")
device.stop()
device_stopped.result(20)
'''
