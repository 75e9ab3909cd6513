"""Programs that send a device's first reading, each with everything of this one device in it.

They are read by people who meet the gateway for the first time: as short as they can be and still be right.
Those that can be run here are run by a test against a real gateway.
"""

import msgspec

CHAIN = "certificate.pem"
KEY = "key.pem"
ROOT = "root.pem"

ALPN = "x-amzn-mqtt-ca"
"""What a client of MQTT asks for on a port that serves HTTPS too."""


class Place(msgspec.Struct, frozen=True):
    """Who connects, and to where."""

    device_id: str
    host: str
    mqtt_port: int
    shared_port: int | None

    @property
    def uri_host(self) -> str:
        """The host as it stands in a URI."""
        return f"[{self.host}]" if ":" in self.host else self.host


def publish_line(place: Place) -> str:
    """The line for a shell inside the bundle's folder that sends one reading."""
    return (
        f"mosquitto_pub {_connection(place)}"
        f""" -q 1 -t sensors/{place.device_id}/telemetry -m '{{"temperature": 21.5}}'"""
    )


def subscribe_line(place: Place) -> str:
    """The line for a shell inside the bundle's folder that prints commands as they come."""
    return f"mosquitto_sub {_connection(place)} -q 1 -v -t 'cmd/{place.device_id}/#'"


def shell_publish(place: Place) -> str:
    """A script that sends one reading from wherever it is called."""
    return f'#!/bin/sh\nset -e\ncd "$(dirname "$0")"\n{publish_line(place)}\n'


def shell_subscribe(place: Place) -> str:
    """A script that prints commands; what it is called with goes to mosquitto_sub, such as `-C 1`."""
    return f'#!/bin/sh\nset -e\ncd "$(dirname "$0")"\n{subscribe_line(place)} "$@"\n'


def paho(place: Place) -> str:
    """Python with paho-mqtt 2: one reading, then commands as they come."""
    return f'''\
"""pip install paho-mqtt, then run this inside its folder: sends a reading, prints commands until Ctrl+C."""

import json
import sys
from pathlib import Path

import paho.mqtt.client as mqtt

DEVICE = "{place.device_id}"
FOLDER = Path(__file__).parent


def on_connect(client, userdata, flags, reason_code, properties):
    if reason_code.is_failure:
        sys.exit(f"refused: {{reason_code}}")
    client.subscribe(f"cmd/{{DEVICE}}/#", qos=1)
    client.publish(f"sensors/{{DEVICE}}/telemetry", json.dumps({{"temperature": 21.5}}), qos=1)


def on_publish(client, userdata, message_id, reason_code, properties):
    print("the reading is on the gateway's disk", flush=True)
    if "--once" in sys.argv:
        client.disconnect()


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=DEVICE, protocol=mqtt.MQTTv5)
client.tls_set(FOLDER / "{ROOT}", FOLDER / "{CHAIN}", FOLDER / "{KEY}")
client.on_connect = on_connect
client.on_publish = on_publish
client.on_message = lambda client, userdata, message: print(message.topic, message.payload.decode(), flush=True)
client.connect("{place.host}", {place.mqtt_port}, keepalive=60)
try:
    client.loop_forever()
except KeyboardInterrupt:
    client.disconnect()
'''


def aws_sdk(place: Place) -> str:
    """Python with awsiotsdk over MQTT 5 on the port of devices: one reading."""
    return f'''\
"""pip install awsiotsdk, then run this inside its folder: sends a reading over MQTT 5."""

import json
from concurrent.futures import Future
from pathlib import Path

from awscrt import mqtt5
from awsiot import mqtt5_client_builder

DEVICE = "{place.device_id}"
FOLDER = Path(__file__).parent

connected, stopped = Future(), Future()
client = mqtt5_client_builder.mtls_from_path(
    endpoint="{place.host}",
    port={place.mqtt_port},
    cert_filepath=str(FOLDER / "{CHAIN}"),
    pri_key_filepath=str(FOLDER / "{KEY}"),
    ca_filepath=str(FOLDER / "{ROOT}"),
    client_id=DEVICE,
    on_lifecycle_connection_success=lambda event: connected.set_result(None),
    on_lifecycle_connection_failure=lambda event: connected.set_exception(event.exception),
    on_lifecycle_stopped=lambda event: stopped.set_result(None),
)
{_AWS_TALK}'''


def aws_sdk_alpn(place: Place) -> str:
    """Python with the runtime of awsiotsdk over MQTT 5 on the shared port, where ALPN tells MQTT from HTTPS."""
    return f'''\
"""pip install awsiotsdk, then run this inside its folder: sends a reading through the port that serves HTTPS too."""

import json
from concurrent.futures import Future
from pathlib import Path

from awscrt import io, mqtt5

DEVICE = "{place.device_id}"
FOLDER = Path(__file__).parent

options = io.TlsContextOptions.create_client_with_mtls_from_path(str(FOLDER / "{CHAIN}"), str(FOLDER / "{KEY}"))
options.override_default_trust_store_from_path(None, str(FOLDER / "{ROOT}"))
options.alpn_list = ["{ALPN}"]
connected, stopped = Future(), Future()
client = mqtt5.Client(
    mqtt5.ClientOptions(
        host_name="{place.host}",
        port={place.shared_port},
        tls_ctx=io.ClientTlsContext(options),
        connect_options=mqtt5.ConnectPacket(client_id=DEVICE, keep_alive_interval_sec=60),
        on_lifecycle_event_connection_success_fn=lambda event: connected.set_result(None),
        on_lifecycle_event_connection_failure_fn=lambda event: connected.set_exception(event.exception),
        on_lifecycle_event_stopped_fn=lambda event: stopped.set_result(None),
    )
)
{_AWS_TALK}'''


def aws_sdk_v1(place: Place) -> str:
    """Python with AWSIoTPythonSDK, the SDK before awsiotsdk, over MQTT 3.1.1 on the port of devices: one reading."""
    return f'''\
"""pip install AWSIoTPythonSDK, then run this inside its folder: sends a reading over MQTT 3.1.1."""

import json
from pathlib import Path

from AWSIoTPythonSDK.MQTTLib import AWSIoTMQTTClient

DEVICE = "{place.device_id}"
FOLDER = Path(__file__).parent

client = AWSIoTMQTTClient(DEVICE)
client.configureEndpoint("{place.host}", {place.mqtt_port})
client.configureCredentials(str(FOLDER / "{ROOT}"), str(FOLDER / "{KEY}"), str(FOLDER / "{CHAIN}"))
client.configureMQTTOperationTimeout(20)
client.connect()
client.publish(f"sensors/{{DEVICE}}/telemetry", json.dumps({{"temperature": 21.5}}), 1)
print("the reading is on the gateway's disk")
client.disconnect()
'''


def arduino(place: Place) -> str:
    """A sketch for the ESP32 with PubSubClient."""
    return f"""\
// Boards: esp32 by Espressif. Libraries: PubSubClient. certificates.h lies beside this file.
#include <PubSubClient.h>
#include <WiFi.h>
#include <WiFiClientSecure.h>

#include "certificates.h"

const char* WIFI_NAME = "your network";
const char* WIFI_PASSWORD = "its password";
const char* DEVICE = "{place.device_id}";

WiFiClientSecure network;
PubSubClient client(network);

void onMessage(char* topic, byte* payload, unsigned int length) {{
  Serial.printf("%s: %.*s\\n", topic, length, (const char*)payload);
}}

void setup() {{
  Serial.begin(115200);
  WiFi.begin(WIFI_NAME, WIFI_PASSWORD);
  while (WiFi.status() != WL_CONNECTED) delay(250);
  network.setCACert(ROOT);
  network.setCertificate(CERTIFICATE);
  network.setPrivateKey(KEY);
  client.setServer("{place.host}", {place.mqtt_port});
  client.setBufferSize(1024);
  client.setCallback(onMessage);
}}

void loop() {{
  static unsigned long sentAt = 0;
  if (!client.connected()) {{
    if (!client.connect(DEVICE)) {{
      Serial.printf("refused, state %d: see the device's page\\n", client.state());
      delay(5000);
      return;
    }}
    client.subscribe("cmd/{place.device_id}/#", 1);
  }}
  client.loop();
  if (sentAt == 0 || millis() - sentAt >= 60000) {{
    sentAt = millis();
    char reading[64];
    snprintf(reading, sizeof reading, "{{\\"temperature\\": %.1f}}", temperatureRead());
    client.publish("sensors/{place.device_id}/telemetry", reading);
  }}
}}
"""


def arduino_certificates(root: str, chain: str, key: str) -> str:
    """The header of the sketch: what the device trusts and shows, and its private key."""
    parts = (("ROOT", root), ("CERTIFICATE", chain), ("KEY", key))
    texts = [f'static const char {name}[] = R"PEM({pem})PEM";\n' for name, pem in parts]
    return "// Secret: KEY is the private key of this one device.\n#pragma once\n\n" + "\n".join(texts)


def esp_idf(place: Place) -> str:
    """What esp-mqtt is told (ESP-IDF 5)."""
    return f"""\
// In CMakeLists.txt: EMBED_TXTFILES "../{ROOT}" "../{CHAIN}" "../{KEY}"
#include "esp_log.h"
#include "mqtt_client.h"

extern const char root_pem[] asm("_binary_root_pem_start");
extern const char certificate_pem[] asm("_binary_certificate_pem_start");
extern const char key_pem[] asm("_binary_key_pem_start");

static void on_event(void *unused, esp_event_base_t base, int32_t event_id, void *event_data) {{
  esp_mqtt_event_handle_t event = event_data;
  if (event_id == MQTT_EVENT_CONNECTED) {{
    esp_mqtt_client_subscribe(event->client, "cmd/{place.device_id}/#", 1);
    const char *reading = "{{\\"temperature\\": 21.5}}";
    esp_mqtt_client_publish(event->client, "sensors/{place.device_id}/telemetry", reading, 0, 1, 0);
  }} else if (event_id == MQTT_EVENT_DATA) {{
    ESP_LOGI("mqtt", "%.*s: %.*s", event->topic_len, event->topic, event->data_len, event->data);
  }}
}}

// Call this once the network is up.
void start_mqtt(void) {{
  const esp_mqtt_client_config_t config = {{
      .broker.address.uri = "mqtts://{place.uri_host}:{place.mqtt_port}",
      .broker.verification.certificate = root_pem,
      .credentials.client_id = "{place.device_id}",
      .credentials.authentication.certificate = certificate_pem,
      .credentials.authentication.key = key_pem,
  }};
  esp_mqtt_client_handle_t client = esp_mqtt_client_init(&config);
  esp_mqtt_client_register_event(client, ESP_EVENT_ANY_ID, on_event, NULL);
  esp_mqtt_client_start(client);
}}
"""


_AWS_TALK = """\
client.start()
connected.result(20)
reading = mqtt5.PublishPacket(
    topic=f"sensors/{DEVICE}/telemetry",
    payload=json.dumps({"temperature": 21.5}),
    qos=mqtt5.QoS.AT_LEAST_ONCE,
)
client.publish(reading).result(20)
print("the reading is on the gateway's disk")
client.stop()
stopped.result(20)
"""


def _connection(place: Place) -> str:
    return f"-h {place.host} -p {place.mqtt_port} -i {place.device_id} --cafile {ROOT} --cert {CHAIN} --key {KEY}"
