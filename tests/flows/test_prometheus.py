"""Promise: what asks Prometheus, such as Grafana, is answered by the gateway itself."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.instant import HOUR_MS, MINUTE_MS, to_text
from tests.flows.running import RunningGateway, running
from web.shell import moment

PROMTOOL = shutil.which("promtool")

pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="promtool, of the package prometheus, is not here")


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


def test_the_client_of_prometheus_reads_a_query(gateway: RunningGateway) -> None:
    status, said = Asker(gateway).ask("instant", "sum(flow) / 2", options=(f"--time={SECONDS + 601}",))
    assert (status, said) == (0, f"{{}} => 15 @[{SECONDS + 601}]\n")
    status, said = Asker(gateway).ask("instant", 'flow{device_id=~".*-2"}', options=(f"--time={SECONDS + 61}",))
    assert status == 0
    assert said == f'flow{{device_id="pump-2", metric="flow"}} => 2 @[{SECONDS + 61}]\n'


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


def test_the_client_of_prometheus_reads_what_there_is(gateway: RunningGateway) -> None:
    asker = Asker(gateway)
    assert asker.ask("labels", "device_id") == (0, "pump-1\npump-2\n")
    status, said = asker.ask("series", options=("--match=gps_latitude",))
    assert status == 0
    assert said.count("gps.latitude") == 2


def test_the_client_of_prometheus_hears_why_not(gateway: RunningGateway) -> None:
    status, said = Asker(gateway).ask("instant", "rate(flow[5m])")
    assert status == 1
    assert "bad_data" in said
    assert "rate is not answered here" in said


def test_who_has_no_token_hears_nothing(gateway: RunningGateway, tmp_path: Path) -> None:
    assert gateway.call("GET", "/v1/prometheus/api/v1/query?query=1", "wrong")[0] == 401
