"""The gateway's own figures, from a device's message to a scraper, and to an alert about the gateway itself."""

import json
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests import exposition
from tests.flows.running import RunningGateway, running

OPEN_METRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
TWO_HOURS_S = 7_200
DEADLINE_S = 30.0


def publish(gateway: RunningGateway, bundle: Path, payload: dict[str, object]) -> None:
    """One message over TLS with a client that others wrote; back when it is acknowledged."""
    identity = ("--cafile", bundle / "root.pem", "--cert", bundle / "certificate.pem", "--key", bundle / "key.pem")
    address = ("-h", "localhost", "-p", str(gateway.mqtt_port), "-i", "pump-1", "-q", "1")
    message = ("-t", "sensors/pump-1/telemetry", "-m", json.dumps(payload))
    done = subprocess.run(
        ["mosquitto_pub", *address, *identity, *message], capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr


def scrape(gateway: RunningGateway, **headers: str) -> tuple[int, str, str]:
    """The status, the type and the text of `/metrics`."""
    context = ssl.create_default_context(cafile=str(gateway.data / "pki" / "web-ca.pem"))
    request = urllib.request.Request(f"https://localhost:{gateway.web_port}/metrics", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            return answer.status, answer.headers["content-type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["content-type"], error.read().decode()


def figures(gateway: RunningGateway, token: str) -> dict[str, exposition.Family]:
    status, _, text = scrape(gateway, authorization=f"Bearer {token}")
    assert status == 200
    return exposition.read(text, is_open_metrics=False)


def test_what_a_device_publishes_is_in_the_figures_that_are_scraped(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        bundle, token = gateway.add_device("pump-1"), gateway.token()
        began_at = time.time()
        for pressure in range(3):
            publish(gateway, bundle, {"pressure": pressure, "timestamp": round((time.time() - TWO_HOURS_S) * 1_000)})
        publish(gateway, bundle, {"pressure": 4})
        assert scrape(gateway)[0] == 401
        found = figures(gateway, token)
        took_s = time.time() - began_at
        assert found["headworks_ingestion_messages_committed_total"].value() == 4
        assert found["headworks_broker_messages_received_total"].value() == 4
        whole = found["headworks_ingestion_acknowledgement_seconds"]
        stages = found["headworks_ingestion_stage_seconds"]
        names = ("decided", "committed", "acknowledged")
        assert {stages.value("_count", stage=name) for name in names} == {whole.value("_count")} == {4}
        # The whole is its stages, storing the first two of them, and every message was on its way while this was.
        for told, count in ((whole, 3), (found["headworks_ingestion_store_seconds"], 2)):
            assert abs(sum(stages.value("_sum", stage=name) for name in names[:count]) - told.value("_sum")) < 0.001
        assert 0 < whole.value("_sum") < took_s
        age = found["headworks_ingestion_event_age_seconds"]
        assert age.value("_count") == 3
        assert 3 * TWO_HOURS_S <= age.value("_sum") < 3 * (TWO_HOURS_S + took_s)
        assert found["process_resident_memory_bytes"].value() > 10_000_000
        assert abs(found["process_start_time_seconds"].value() - began_at) < 60
        assert found["headworks_disk_free_bytes"].value() > 0
        parts = {dict(labels)["part"] for _, labels in found["headworks_part_healthy"].samples}
        assert parts == set(gateway.get("/v1/status", token)["parts"])
        status, kind, text = scrape(gateway, authorization=f"Bearer {token}", accept=OPEN_METRICS)
        assert (status, kind) == (200, "application/openmetrics-text; version=1.0.0; charset=utf-8")
        later = exposition.read(text, is_open_metrics=True)
        assert later["headworks_ingestion_messages_committed"].value("_total") == 4
        assert later["process_cpu_seconds"].value("_total") >= found["process_cpu_seconds_total"].value()


def test_a_listed_network_scrapes_without_a_token(tmp_path: Path) -> None:
    with running(tmp_path, '\n[metrics]\nnetworks = ["127.0.0.0/8", "::1"]\n') as gateway:
        status, kind, text = scrape(gateway)
        assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert exposition.read(text, is_open_metrics=False)["headworks_ready"].value() == 1
        assert scrape(gateway, authorization="Bearer hw_1.wrong")[0] == 401


def test_a_rule_about_the_gateway_itself_opens_an_alert_and_sends_an_email(tmp_path: Path) -> None:
    rule = {
        "name": "Nobody is connected",
        "metric": "gateway.connections",
        "operator": "LESS_THAN",
        "threshold": 1,
        "recipients": ["night@example.com"],
    }
    with running(tmp_path) as gateway:
        token = gateway.token()
        assert gateway.call("POST", "/v1/alert-rules", token, json.dumps(rule).encode())[0] == 201
        deadline = time.monotonic() + DEADLINE_S
        while not figures(gateway, token).get("headworks_notices_sent_total", NONE).value():
            assert time.monotonic() < deadline, gateway.output
        found = figures(gateway, token)
        assert found["headworks_alerts_firing"].value() == 1
        assert found["headworks_notices_waiting"].value() == 0
        [alert] = gateway.get("/v1/alerts", token)["alerts"]
        assert (alert["device_id"], alert["rule_name"]) == ("$gateway", "Nobody is connected")
    [mail] = (tmp_path / "data" / "mailbox").glob("**/*.eml")
    assert "This gateway" in mail.read_text(encoding="utf-8")


NONE = exposition.Family("counter", "", "", {("", frozenset()): 0.0})
"""What is not there yet."""
