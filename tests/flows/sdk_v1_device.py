"""A device made with AWSIoTPythonSDK (V1), as a process of its own: its threads outlive what they are told.

Called with the folder of a bundle, the device id, host and port. Says each thing that happened in a line.
"""

import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any

from AWSIoTPythonSDK.exception.AWSIoTExceptions import publishTimeoutException
from AWSIoTPythonSDK.MQTTLib import AWSIoTMQTTClient

PATIENCE_S = 20


def main() -> None:
    logging.getLogger("AWSIoTPythonSDK").addHandler(logging.NullHandler())
    folder, device_id, host, port = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    be_at_home(new_client(folder, device_id, host, port), device_id)
    be_refused(new_client(folder, device_id, host, port))


def new_client(folder: Path, device_id: str, host: str, port: int) -> Any:
    client = AWSIoTMQTTClient(device_id)
    # On port 443 this asks for MQTT by ALPN too: the library has no other way to say so.
    client.configureEndpoint(host, port)
    client.configureCredentials(*(str(folder / name) for name in ("root.pem", "key.pem", "certificate.pem")))
    client.configureConnectDisconnectTimeout(PATIENCE_S)
    client.configureMQTTOperationTimeout(PATIENCE_S)
    return client


def be_at_home(client: Any, device_id: str) -> None:
    came = threading.Event()

    def on_message(_client: object, _data: object, message: Any) -> None:
        say(f"came {message.topic} {message.payload.decode()}")
        came.set()

    client.connect()
    say("connected")
    client.subscribe(f"cmd/{device_id}/#", 1, on_message)
    say("subscribed")
    client.publish(f"sensors/{device_id}/telemetry", '{"temperature": 21.5}', 1)
    say("stored")
    if not came.wait(PATIENCE_S):
        sys.exit("no message came")
    client.disconnect()
    say("left")


def be_refused(client: Any) -> None:
    """3.1.1 has no word for the refusal of a PUBLISH: the connection ends, and no PUBACK comes."""
    is_gone = threading.Event()
    client.onOffline = is_gone.set
    client.connect()
    client.configureMQTTOperationTimeout(1)
    try:
        client.publish("sensors/another-device/telemetry", "1", 1)
    except publishTimeoutException:
        say("not acknowledged")
    if not is_gone.wait(PATIENCE_S):
        sys.exit("the connection did not end")
    say("shown out")


def say(what: str) -> None:
    sys.stdout.write(what + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
    # The library's thread connects again a second after it was shown out, which is when this ends. What an orderly
    # end does to OpenSSL while that thread is in a handshake is a crash now and then, whatever else was right.
    os._exit(0)
