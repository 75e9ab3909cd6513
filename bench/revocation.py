"""How soon a device is out whose certificate is revoked, while ten thousand others are connected.

From the call of the API to the end of the connection as the device sees it, over mutual TLS.
"""

import hashlib
import http.client
import json
import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.children import python, run
from bench.gateway import HOST, TLS_PORT, WEB_PORT, Prepared, prepared, running
from bench.generator import files_raised, generating
from bench.message import device_ids
from bench.numbers import Spread, spread, table
from bench.revoked import Ended, Hold, Holding, Order

DEVICE_COUNT = 10_000
CROWD_SHARE = 10
"""The certificates of one in so many are revoked at once. All that are left go with their CA."""
QUICK_SHARE = 20
ROUNDS = 10
LEAST_COUNT = 100
PATIENCE_S = 60.0
BATCHES = 10
"""The end of a CA is told in so many batches of connections, each as large."""
TARGET_MS = 1_000.0
SETTINGS = """
[limits]
connections_per_address = 20_000
connections = 20_000
"""


class Api:
    """The gateway as scripts call it, over one connection."""

    def __init__(self, made: Prepared) -> None:
        self._token = run(python("appliance", "token", "add", "bench", "--config", str(made.settings))).strip()
        context = ssl.create_default_context(cafile=str(made.folder / "data" / "pki" / "web-ca.pem"))
        # The address is this machine's, and in no certificate.
        context.check_hostname = False
        self._connection = http.client.HTTPSConnection(HOST, WEB_PORT, context=context, timeout=PATIENCE_S)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Call it, and give what it answers; raises `ConnectionError` when it refuses."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        self._connection.request(method, path, None if body is None else json.dumps(body).encode(), headers)
        answer = self._connection.getresponse()
        said: Any = answer.read()
        if answer.status >= http.client.BAD_REQUEST:
            raise ConnectionError(f"{method} {path}: {answer.status} {said[:200]!r}")
        return json.loads(said)


def measure(folder: Path, *, quick: bool, sessions: int = DEVICE_COUNT) -> str:
    """Connect so many devices and put them out; gives the tables. `quick` is a twentieth, to see that it works."""
    files_raised()
    count = max(LEAST_COUNT, sessions // (QUICK_SHARE if quick else 1))
    crowd = count // CROWD_SHARE
    made = prepared(folder / "revocation", count, SETTINGS)
    names = device_ids(count)
    one_by_one, suspended, together = names[:ROUNDS], names[ROUNDS : 2 * ROUNDS], names[2 * ROUNDS : 2 * ROUNDS + crowd]
    with running(made), generating("bench.revoked", made.log) as devices:
        held = devices.ask(Hold(HOST, TLS_PORT, str(made.bundles), tuple(names)), Holding)
        api = Api(made)

        def put_out(who: Sequence[str], method: str, path: str, body: object = None) -> list[int]:
            devices.tell(Order(tuple(who), PATIENCE_S))
            begun = time.monotonic_ns()
            api.call(method, path, body)
            return [ended - begun for ended in devices.hear(Ended).moments_ns]

        certificates = [
            put_out([name], "DELETE", f"/v1/devices/{name}/certificates/{_fingerprint(made, name)}")[0]
            for name in one_by_one
        ]
        states = [put_out([name], "PUT", f"/v1/devices/{name}/state", {"state": "suspended"})[0] for name in suspended]
        crowds = put_out(together, "POST", "/v1/revocations", {"device_ids": together})
        bystanders = devices.ask(Order((), 0.0), Ended).open_count
        rest = names[2 * ROUNDS + crowd :]
        issuer = api.call("GET", "/v1/issuers")["issuers"][0]["fingerprint"]
        of_the_ca = put_out(rest, "POST", f"/v1/issuers/{issuer}/revoke")
    rows = [
        _row("a certificate is revoked", spread(certificates)),
        _row("a device is suspended", spread(states)),
        _row(f"certificates of {crowd:,} devices are revoked at once", spread(crowds)),
        _row(f"the CA of {len(rest):,} devices is revoked", spread(of_the_ca)),
    ]
    head = ("what", "times", "p50", "longest", "target", "met")
    left = count - 2 * ROUNDS - crowd
    title = (
        f"Revocation while {held.count:,} devices are connected over mutual TLS: from the call to the end of the "
        f"connection, as the device sees it; {bystanders:,} of {left:,} others were still connected afterwards"
    )
    return f"{title}\n\n{table(head, rows)}\n\n{_batches(of_the_ca)}"


def _fingerprint(made: Prepared, name: str) -> str:
    chain = (made.bundles / name / "certificate.pem").read_text(encoding="utf-8")
    own, end, _ = chain.partition(ssl.PEM_FOOTER)
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(own + end)).hexdigest()


def _batches(times_ns: Sequence[int]) -> str:
    ordered = sorted(times_ns)
    ends = [len(ordered) * number // BATCHES for number in range(1, BATCHES + 1)]
    rows = [[f"{end:,}", f"{ordered[end - 1] / 1e6:,.1f} ms"] for end in ends]
    return f"When the CA is revoked, so many connections have ended after\n\n{table(('connections', 'time'), rows)}"


def _row(what: str, times: Spread) -> list[str]:
    met = "yes" if times.longest <= TARGET_MS else "NO"
    return [what, f"{times.count:,}", f"{times.p50:,.1f} ms", f"{times.longest:,.1f} ms", f"{TARGET_MS:,.0f} ms", met]
