"""Promise: what asks Prometheus, such as Grafana, is answered by the gateway itself."""

import base64
import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from appliance.instant import HOUR_MS, MINUTE_MS, to_text
from tests.flows.running import RunningGateway, running
from web.shell import moment

PROMTOOL = shutil.which("promtool")

Parameters = Sequence[tuple[str, str]]

by_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool, of the package prometheus, is not here")


class Asker:
    """The client of Prometheus itself."""

    def __init__(self, gateway: RunningGateway) -> None:
        self._environment = {**os.environ, "SSL_CERT_FILE": str(gateway.data / "pki" / "web-ca.pem")}
        self._server = f"https://script:{gateway.token()}@localhost:{gateway.web_port}/v1/prometheus"

    def ask(self, kind: str, *arguments: str, options: tuple[str, ...] = ()) -> tuple[int, str]:
        assert PROMTOOL is not None
        command = [PROMTOOL, "query", kind, *options, self._server, *arguments]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=30, check=False)
        return done.returncode, done.stdout + done.stderr


class Grafana:
    """Sends what the data source of Grafana sends, over HTTPS, with the token of a viewer as a password."""

    def __init__(self, gateway: RunningGateway) -> None:
        status, token = gateway.quick_command("token", "add", f"grafana-{os.urandom(4).hex()}", "--role", "viewer")
        assert status == 0, token
        self._context = ssl.create_default_context(cafile=str(gateway.data / "pki" / "web-ca.pem"))
        self._server = f"https://localhost:{gateway.web_port}/v1/prometheus/api/v1/"
        shown = base64.b64encode(f"anybody:{token.strip()}".encode()).decode()
        self._headers = {"Authorization": f"Basic {shown}", "Accept-Encoding": "gzip", "User-Agent": "Grafana/12.1.0"}

    def post(self, path: str, form: Parameters) -> tuple[int, Any]:
        """A query, or a look-up that is tried with a form first."""
        headers = {**self._headers, "Content-Type": "application/x-www-form-urlencoded"}
        return self._send(Request(self._server + path, urlencode(form).encode(), headers, method="POST"))

    def get(self, path: str, parameters: Parameters) -> tuple[int, Any]:
        return self._send(Request(f"{self._server}{path}?{urlencode(parameters)}", headers=self._headers))

    def look_up(self, path: str, parameters: Parameters) -> Any:
        """By a form, and where that is not allowed, by the address."""
        status, told = self.post(path, parameters)
        if status in {400, 405}:
            status, told = self.get(path, parameters)
        assert (status, told["status"]) == (200, "success"), told
        return told["data"]

    def _send(self, request: Request) -> tuple[int, Any]:
        try:
            with urlopen(request, timeout=20, context=self._context) as answer:
                assert answer.headers["content-type"] == "application/json"
                return answer.status, json.loads(answer.read())
        except HTTPError as error:
            with error:
                return error.code, json.loads(error.read())


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running(tmp_path_factory.mktemp("prometheus")) as made:
        for device_id in ("pump-1", "pump-2"):
            made.add_device(device_id)
        rows = [
            f"pump-{pump},{to_text(START + number * MINUTE_MS)},{number * pump},{pump}.5"
            for pump in (1, 2)
            for number in range(120)
        ]
        table = "device_id,time,flow,gps.latitude\n" + "\n".join(rows)
        status, told = made.call("POST", "/v1/telemetry/imports", made.token(), json.dumps({"csv": table}).encode())
        assert (status, told["reading_count"]) == (200, 480)
        yield made


START = moment() // HOUR_MS * HOUR_MS - 4 * HOUR_MS
SECONDS = START // 1000


@by_promtool
def test_the_client_of_prometheus_reads_a_query(gateway: RunningGateway) -> None:
    status, said = Asker(gateway).ask("instant", "sum(flow) / 2", options=(f"--time={SECONDS + 601}",))
    assert (status, said) == (0, f"{{}} => 15 @[{SECONDS + 601}]\n")
    status, said = Asker(gateway).ask("instant", 'flow{device_id=~".*-2"}', options=(f"--time={SECONDS + 61}",))
    assert status == 0
    assert said == f'flow{{device_id="pump-2", metric="flow"}} => 2 @[{SECONDS + 61}]\n'


@by_promtool
def test_the_client_of_prometheus_reads_a_range(gateway: RunningGateway) -> None:
    options = (f"--start={SECONDS + 3600}", f"--end={SECONDS + 7200}", "--step=1h")
    status, said = Asker(gateway).ask("range", 'avg_over_time(flow{device_id="pump-1"}[1h])', options=options)
    assert status == 0, said
    assert (
        said
        == f'{{device_id="pump-1", metric="flow"}} =>\n29.5 @[{SECONDS + 3600}]\n89.5 @[{SECONDS + 7200}]\n\n'.replace(
            "\n\n", "\n"
        )
    )


@by_promtool
def test_the_client_of_prometheus_reads_what_there_is(gateway: RunningGateway) -> None:
    asker = Asker(gateway)
    assert asker.ask("labels", "device_id") == (0, "pump-1\npump-2\n")
    status, said = asker.ask("series", options=("--match=gps_latitude",))
    assert status == 0
    assert said.count("gps.latitude") == 2


@by_promtool
def test_the_client_of_prometheus_hears_why_not(gateway: RunningGateway) -> None:
    status, said = Asker(gateway).ask("instant", "rate(flow[5m])")
    assert status == 1
    assert "bad_data" in said
    assert "rate is not answered here" in said


def test_who_has_no_token_hears_nothing(gateway: RunningGateway, tmp_path: Path) -> None:
    assert gateway.call("GET", "/v1/prometheus/api/v1/query?query=1", "wrong")[0] == 401


def test_grafana_saves_its_data_source_and_finds_that_it_works(gateway: RunningGateway) -> None:
    grafana = Grafana(gateway)
    for ask in (grafana.post, grafana.get):
        told = ask("query", [("query", "1+1"), ("time", "4"), ("timeout", "60s")])
        assert told == (200, {"status": "success", "data": {"resultType": "scalar", "result": [4.0, "2"]}})
    assert grafana.look_up("status/buildinfo", [])["version"] == "2.42.0"
    # What takes no form says so, by which Grafana knows that it is to ask by the address.
    for path in ("status/buildinfo", "metadata", "rules", "label/zone/values"):
        assert grafana.post(path, [])[0] == 405, path


def test_grafana_draws_a_panel(gateway: RunningGateway) -> None:
    grafana, pump = Grafana(gateway), {"device_id": "pump-2", "metric": "flow"}
    chosen = [("query", 'flow{device_id=~"(pump-2|pump-3|pump\\\\.4)"}')]
    span = [("start", f"{SECONDS + 61}.5"), ("end", f"{SECONDS + 181}.5"), ("step", "60"), ("timeout", "60s")]
    row = {
        "metric": {"__name__": "flow", **pump},
        "values": [[SECONDS + 61.5 + 60 * n, f"{2 * n + 2}"] for n in range(3)],
    }
    for ask in (grafana.post, grafana.get):
        status, told = ask("query_range", chosen + span)
        assert (status, told) == (200, {"status": "success", "data": {"resultType": "matrix", "result": [row]}})
        # Grafana reads the kind first, and then what is of it.
        assert list(told["data"]) == ["resultType", "result"]
    status, told = grafana.post("query", [*chosen, ("time", f"{SECONDS + 61}.001")])
    assert told["data"] == {
        "resultType": "vector",
        "result": [{"metric": row["metric"], "value": [SECONDS + 61.001, "2"]}],
    }
    status, told = grafana.post("query_range", [("query", "rate(flow[1m])"), *span])
    assert (status, told["errorType"]) == (400, "bad_data")
    assert told["error"].startswith("1:1: parse error: rate is not answered here")


def test_grafana_offers_what_there_is_to_choose_from(gateway: RunningGateway) -> None:
    grafana = Grafana(gateway)
    when = [("start", str(SECONDS)), ("end", str(SECONDS + 3600)), ("limit", "40000")]
    assert grafana.look_up("labels", when) == ["__name__", "device_id", "metric"]
    assert grafana.look_up("labels", [*when, ("match[]", '{__name__="flow"}')]) == ["__name__", "device_id", "metric"]
    assert grafana.look_up("label/__name__/values", when) == ["flow", "gps_latitude"]
    searched = [*when, ("match[]", '{__name__=~"(?i).*GPS.*"}')]
    assert grafana.look_up("label/__name__/values", searched) == ["gps_latitude"]
    assert grafana.look_up("label/device_id/values", [*when, ("match[]", "flow")]) == ["pump-1", "pump-2"]
    found = grafana.look_up("series", [*when, ("match[]", 'flow{device_id="pump-1"}')])
    assert found == [{"__name__": "flow", "device_id": "pump-1", "metric": "flow"}]
    assert grafana.look_up("metadata", [("limit", "40000")])["flow"] == [{"type": "gauge", "help": "", "unit": ""}]
    assert grafana.look_up("rules", []) == {"groups": []}
