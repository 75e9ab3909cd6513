"""A device's bundle as files, with the line that tries it out."""

from appliance.instant import to_text
from appliance.registry.model import Bundle

CHAIN = "certificate.pem"
KEY = "key.pem"
ROOT = "root.pem"
README = "README.txt"


def as_files(bundle: Bundle, host: str, port: int) -> dict[str, bytes]:
    """The content of each file by its name. The key is secret: give the folder to its device alone."""
    texts = {
        CHAIN: bundle.chain_pem,
        KEY: bundle.key_pem,
        ROOT: bundle.root_pem,
        README: _readme(bundle, host, port),
    }
    return {name: text.encode() for name, text in texts.items()}


def publish_line(bundle: Bundle, host: str, port: int) -> str:
    """The line for a shell inside the bundle's folder that sends one reading."""
    return (
        f"mosquitto_pub -h {host} -p {port} -i {bundle.device_id} --cafile {ROOT} --cert {CHAIN} --key {KEY}"
        f""" -q 1 -t sensors/{bundle.device_id}/telemetry -m '{{"temperature": 21.5}}'"""
    )


def _readme(bundle: Bundle, host: str, port: int) -> str:
    return f"""\
Device {bundle.device_id}

{CHAIN}  what the device shows: its certificate and the CA that signed it,
                 good until {to_text(bundle.expires_at)}
{KEY}          its private key; the gateway keeps no copy of it
{ROOT}         the gateway's CA: what the device trusts

Fingerprint (SHA-256): {bundle.fingerprint}

Send a reading, from inside this folder:

{publish_line(bundle, host, port)}

The client identifier is the device id. The device may
  publish    sensors/{bundle.device_id}/#  cmd/{bundle.device_id}/response/#  fw/{bundle.device_id}/status
  subscribe  cmd/{bundle.device_id}/#  fw/{bundle.device_id}/offer
"""
