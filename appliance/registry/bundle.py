"""A device's bundle as files: what it shows and trusts, and what makes a first reading of it, ready to run."""

import io
import zipfile
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import segno

from appliance.instant import to_text
from appliance.registry import snippets
from appliance.registry.model import Bundle
from appliance.registry.snippets import CHAIN, KEY, ROOT

README = "README.txt"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ZIP_BEGINS = datetime(1980, 1, 1, tzinfo=UTC)
_PRIVATE_FILE = 0o100600 << 16
"""Mode 600 of a regular file, where a zip keeps it."""


class Address(msgspec.Struct, frozen=True):
    """Where devices and people reach the gateway."""

    host: str
    mqtt_port: int = 8883
    shared_port: int | None = None
    """The port that serves MQTT to who asks for it by ALPN; None when there is none."""
    web_port: int | None = None
    """The port of the dashboard; None when it is not known."""


def as_files(bundle: Bundle, address: Address) -> dict[str, bytes]:
    """What a device needs: the content of each file by its name.

    The key is secret: give the folder to its device alone.
    """
    texts = {
        CHAIN: bundle.chain_pem,
        KEY: bundle.key_pem,
        ROOT: bundle.root_pem,
        README: _readme(bundle, _place(bundle, address), ()),
    }
    return {name: text.encode() for name, text in texts.items()}


def with_programs(bundle: Bundle, address: Address) -> dict[str, bytes]:
    """The same files, with programs that send a first reading, and a label for the device."""
    place = _place(bundle, address)
    texts = {
        "publish.sh": snippets.shell_publish(place),
        "subscribe.sh": snippets.shell_subscribe(place),
        "paho_mqtt.py": snippets.paho(place),
        "aws_iot_sdk.py": snippets.aws_sdk(place),
        "aws_iot_python_sdk_v1.py": snippets.aws_sdk_v1(place),
        "arduino_esp32/arduino_esp32.ino": snippets.arduino(place),
        "arduino_esp32/certificates.h": snippets.arduino_certificates(
            bundle.root_pem, bundle.chain_pem, bundle.key_pem
        ),
        "esp_idf/mqtt.c": snippets.esp_idf(place),
    }
    if address.shared_port is not None:
        texts["aws_iot_sdk_alpn.py"] = snippets.aws_sdk_alpn(place)
    label = _label(bundle, address)
    texts[README] = _readme(bundle, place, {*texts, *label})
    return as_files(bundle, address) | {name: text.encode() for name, text in texts.items()} | label


def of_many(
    bundles: Sequence[Bundle], address: Address, *, has_programs: bool
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The files of each of many devices, by its device id.

    The programs, the same but for the device id, would be two thirds of the files of a table of thousands. There is
    no label: one takes as long as the rest of a hundred bundles.
    """
    unlabelled = msgspec.structs.replace(address, web_port=None)
    files_of = with_programs if has_programs else as_files
    for bundle in bundles:
        yield bundle.device_id, files_of(bundle, unlabelled)


def zipped(files: dict[str, bytes], folder: str, now: int) -> bytes:
    """The files as one zip, all in a folder of this name, readable by their owner alone once unpacked."""
    made = io.BytesIO()
    moment = max(_EPOCH + timedelta(milliseconds=now), _ZIP_BEGINS)
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(
                f"{folder}/{name}", (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
            )
            entry.external_attr = _PRIVATE_FILE
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return made.getvalue()


def folder_name(device_id: str) -> str:
    """A name for the device's files that every file system takes."""
    return device_id.replace(":", "_")


def _place(bundle: Bundle, address: Address) -> snippets.Place:
    return snippets.Place(bundle.device_id, address.host, address.mqtt_port, address.shared_port)


def publish_line(bundle: Bundle, host: str, port: int) -> str:
    """The line for a shell inside the bundle's folder that sends one reading."""
    return snippets.publish_line(snippets.Place(bundle.device_id, host, port, None))


def page_address(device_id: str, address: Address) -> str:
    """The address of the device's page, for a phone; it opens for who is signed in."""
    host = snippets.Place(device_id, address.host, address.mqtt_port, None).uri_host
    return f"https://{host}:{address.web_port}/devices/{device_id}"


def _label(bundle: Bundle, address: Address) -> dict[str, bytes]:
    """The label for the device: the address of its page as a QR code, and nothing that is secret."""
    if address.web_port is None:
        return {}
    code = segno.make(page_address(bundle.device_id, address), error="m", micro=False)
    drawing, picture = io.BytesIO(), io.BytesIO()
    code.save(drawing, kind="svg", scale=8, border=4, title=bundle.device_id)
    code.save(picture, kind="png", scale=8, border=4)
    return {"label.svg": drawing.getvalue(), "label.png": picture.getvalue()}


_PROGRAMS = {
    "publish.sh": "sends one reading, with mosquitto_pub",
    "subscribe.sh": "waits for commands, with mosquitto_sub",
    "paho_mqtt.py": "the same in Python with paho-mqtt 2",
    "aws_iot_sdk.py": "sends one reading with awsiotsdk (AWS IoT device SDK V2 for Python)",
    "aws_iot_sdk_alpn.py": "the same through the port that serves HTTPS too",
    "aws_iot_python_sdk_v1.py": "sends one reading with AWSIoTPythonSDK (V1)",
    "arduino_esp32/": "a sketch for the ESP32 with PubSubClient; it holds the private key too",
    "esp_idf/": "what esp-mqtt of ESP-IDF 5 is told",
    "label.svg": "a QR code for the device itself: the address of its page, and nothing secret",
    "label.png": "the same as a picture of dots",
}


def _readme(bundle: Bundle, place: snippets.Place, names: Collection[str]) -> str:
    """The README of a bundle that holds, besides certificate and key, what `names` names."""
    programs = "".join(
        f"{part:<24}  {told}\n"
        for part, told in _PROGRAMS.items()
        if any(name == part or (part.endswith("/") and name.startswith(part)) for name in names)
    )
    programs = programs and f"\n{programs}"
    shared = ""
    if place.shared_port is not None:
        shared = f"Port {place.shared_port} does too, for who asks for `mqtt` or `{snippets.ALPN}` by ALPN.\n"
    return f"""\
Device {bundle.device_id}

{CHAIN:<24}  what the device shows: its certificate and the CA that signed it,
{"":<24}  good until {to_text(bundle.expires_at)}
{KEY:<24}  its private key; the gateway keeps no copy of it
{ROOT:<24}  the gateway's CA: what the device trusts
{programs}
Fingerprint (SHA-256): {bundle.fingerprint}

The gateway speaks MQTT over TLS at {place.host}, port {place.mqtt_port}.
{shared}
Send a reading, from inside this folder:

{snippets.publish_line(place)}

Wait for commands:

{snippets.subscribe_line(place)}

The client identifier is the device id. The device may
  publish    sensors/{bundle.device_id}/#  cmd/{bundle.device_id}/response/#  fw/{bundle.device_id}/status
  subscribe  cmd/{bundle.device_id}/#  fw/{bundle.device_id}/offer
"""
