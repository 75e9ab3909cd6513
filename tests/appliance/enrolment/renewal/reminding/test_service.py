"""Who is asked to renew and when, and what becomes of a request over MQTT."""

import json
import ssl

import pytest

from appliance.enrolment.renewal import due, queries
from appliance.enrolment.renewal.reminding.service import Reminder
from appliance.enrolment.renewal.service import Renewal
from appliance.instant import DAY_MS, HOUR_MS
from appliance.registry.model import DeviceState
from appliance.registry.service import Registry
from appliance.store.database import Database
from broker.message import Message
from broker.ports import Refused
from tests.appliance.enrolment.renewal.clients import TWO_THIRDS_MS, Broker, bound, connect, der, until_refused
from tests.appliance.enrolment.renewal.conftest import RENEWALS_A_DAY
from tests.appliance.enrolment.requests import request
from tests.appliance.registry.examples import FakeClock

TOPIC = "$headworks/devices/pump-7/certificate/renew"
ANSWERS = f"{TOPIC}/+"
REMINDERS = "cmd/pump-7/#"


@pytest.fixture
def refusals() -> list[Refused]:
    return []


@pytest.fixture
def reminder(renewal: Renewal, refusals: list[Refused]) -> Reminder:
    renewal.reminder.note = refusals.append
    renewal.reminder.est_url = lambda: "https://devices:9443/est"
    return renewal.reminder


@pytest.fixture
def late(clock: FakeClock, first: bytes) -> bytes:
    """The certificate of pump-7, two thirds through its life."""
    clock.now += TWO_THIRDS_MS
    return first


def pem(common_name: str = "pump-7") -> str:
    return ssl.DER_cert_to_PEM_cert(request(common_name)).replace(" CERTIFICATE-", " CERTIFICATE REQUEST-")


def ask(reminder: Reminder, told: object, topic: str = TOPIC, principal: str = "pump-7", client_id: str = "") -> None:
    payload = told if isinstance(told, bytes) else json.dumps(told).encode()
    reminder.requested([Message(1, principal, client_id or principal, topic, payload, 1, False, 0)])


async def test_a_device_is_asked_when_it_comes_and_once_an_hour(
    reminder: Reminder, broker: Broker, late: bytes, clock: FakeClock, registry: Registry
) -> None:
    broker.come(reminder, late, REMINDERS)
    to, topic, told = await broker.next()
    assert (to, topic) == ("pump-7", "cmd/pump-7/certificate")
    assert (told["renew"], told["est"], told["topic"]) == (True, "https://devices:9443/est", TOPIC)
    assert told["not_after"].startswith("2027-11-21")
    for _ in range(3):
        broker.leave(reminder)
        broker.come(reminder, late, REMINDERS)
    await reminder.look_after()
    assert await broker.said_nothing()
    clock.now += HOUR_MS
    await reminder.look_after()
    assert (await broker.next())[1] == topic
    # One that is good for long is left alone.
    fresh = ssl.PEM_cert_to_DER_cert((await registry.issue_certificate(1, "pump-7")).certificate_pem)
    clock.now += HOUR_MS
    broker.come(reminder, fresh, REMINDERS, name="2")
    await reminder.look_after()
    assert await broker.said_nothing()


async def test_who_subscribes_later_is_asked_then(reminder: Reminder, broker: Broker, late: bytes) -> None:
    broker.come(reminder, late)
    assert await broker.said_nothing()
    standing = await reminder.standing(1, "pump-7")
    assert standing is not None
    assert due.told(standing) == (
        "It cannot be asked to renew: it is connected, and has not subscribed to cmd/pump-7/certificate."
    )
    broker.subscribe(reminder, "sensors/x")
    assert await broker.said_nothing()
    broker.subscribe(reminder, REMINDERS)
    assert (await broker.next())[0] == "pump-7"


async def test_how_it_stands_is_told_and_outlives_a_restart(
    renewal: Renewal, reminder: Reminder, broker: Broker, first: bytes, clock: FakeClock, database: Database
) -> None:
    assert await reminder.standing(1, "pump-7") is None
    clock.now += TWO_THIRDS_MS
    standing = await reminder.standing(1, "pump-7")
    assert standing is not None
    assert (standing.asked_at, standing.obstacle) == (None, due.NOT_CONNECTED)
    broker.come(reminder, first, REMINDERS, ANSWERS)
    await broker.next()
    while not await database.read(queries.select_asked()):
        pass
    standing = await reminder.standing(1, "pump-7")
    assert standing is not None
    assert (standing.asked_at, standing.obstacle, standing.renewed_at) == (clock.now, "", None)
    async with Renewal(database, renewal._registry, 10).running(broker) as after:
        standing = await after.reminder.standing(1, "pump-7")
        assert standing is not None
        assert (standing.asked_at, standing.obstacle) == (clock.now, due.NOT_CONNECTED)


async def test_a_device_renews_over_its_connection_and_changes_over(
    reminder: Reminder, broker: Broker, late: bytes, registry: Registry, clock: FakeClock
) -> None:
    broker.come(reminder, late, REMINDERS, ANSWERS)
    await broker.next()
    ask(reminder, {"csr": pem()})
    to, topic, told = await broker.next()
    assert (to, topic) == ("pump-7", f"{TOPIC}/accepted")
    assert told["certificate"].count("BEGIN CERTIFICATE") == 2
    own, end, _ = told["certificate"].partition("-----END CERTIFICATE-----")
    second = ssl.PEM_cert_to_DER_cert(own + end)
    assert bound(registry, second).certificate.fingerprint == told["fingerprint"]
    standing = await reminder.standing(1, "pump-7")
    assert standing is not None
    assert standing.renewed_at == clock.now
    # It has a day to use it; who still comes with the old one then is asked again.
    clock.now += HOUR_MS
    broker.come(reminder, late, REMINDERS, name="2")
    assert await broker.said_nothing()
    clock.now += DAY_MS
    broker.come(reminder, late, REMINDERS, name="3")
    assert (await broker.next())[1] == "cmd/pump-7/certificate"
    assert connect(registry, second)


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (b"nonsense", "invalid_request"),
        ({"csr": "nonsense"}, "invalid_request"),
        ({"certificateSigningRequest": "x"}, "invalid_request"),
        ({"csr": "x" * 40_000}, "invalid_request"),
        ({"csr": pem("pump-8")}, "wrong_subject"),
    ],
)
async def test_what_cannot_be_granted_is_rejected_in_a_sentence(
    reminder: Reminder, broker: Broker, first: bytes, refusals: list[Refused], told: object, code: str
) -> None:
    broker.come(reminder, first, ANSWERS)
    ask(reminder, told)
    to, topic, answer = await broker.next()
    assert (to, topic, answer["code"]) == ("pump-7", f"{TOPIC}/rejected", code)
    [refusal] = refusals
    assert (refusal.kind, refusal.principal, refusal.reason) == ("renewal_refused", "pump-7", answer["message"])


async def test_a_device_renews_for_nobody_else(
    reminder: Reminder, broker: Broker, first: bytes, registry: Registry, refusals: list[Refused]
) -> None:
    """Even where a policy lets it publish there."""
    await registry.add_device(1, "pump-8")
    other = "$headworks/devices/pump-8/certificate/renew"
    broker.come(reminder, first, "#", "$headworks/#")
    ask(reminder, {"csr": pem()}, topic=other)
    assert (await broker.next())[2]["code"] == "wrong_subject"
    assert "its own certificate alone" in refusals[0].reason
    assert await registry.certificates(1, "pump-8") == []


async def test_a_device_with_a_token_has_nothing_to_renew(reminder: Reminder, broker: Broker, first: bytes) -> None:
    assert first
    broker.come(reminder, None, ANSWERS)
    ask(reminder, {"csr": pem()})
    assert (await broker.next())[2]["code"] == "no_certificate"


async def test_a_device_that_is_not_active_renews_nothing(
    reminder: Reminder, broker: Broker, first: bytes, registry: Registry
) -> None:
    broker.come(reminder, first, ANSWERS)
    await registry.set_state(1, "pump-7", DeviceState.SUSPENDED)
    ask(reminder, {"csr": pem()})
    assert (await broker.next())[2]["code"] == "no_certificate"


async def test_who_took_the_client_identifier_over_hears_nothing(
    reminder: Reminder, broker: Broker, first: bytes, registry: Registry
) -> None:
    await registry.add_device(1, "pump-8")
    broker.come(reminder, first, ANSWERS, device_id="pump-8")
    ask(reminder, {"csr": pem()}, client_id="gone")
    ask(reminder, {"csr": pem()}, client_id="pump-8")
    assert await broker.said_nothing()
    ask(reminder, {"csr": pem()}, client_id="pump-8")
    assert await broker.said_nothing()
    assert len(await registry.certificates(1, "pump-7")) == 1


async def test_one_request_at_a_time(
    reminder: Reminder, broker: Broker, first: bytes, refusals: list[Refused], registry: Registry
) -> None:
    broker.come(reminder, first, ANSWERS)
    for _ in range(RENEWALS_A_DAY):
        ask(reminder, {"csr": pem()})
    told = [await broker.next() for _ in range(RENEWALS_A_DAY)]
    assert sum(topic.endswith("/accepted") for _, topic, _ in told) == 1
    assert len(refusals) == RENEWALS_A_DAY - 1
    assert len(await registry.certificates(1, "pump-7")) == 2
    ask(reminder, {"csr": pem()})
    assert (await broker.next())[1].endswith("/accepted")


async def test_an_answer_that_nobody_hears_is_noted(
    reminder: Reminder, broker: Broker, first: bytes, refusals: list[Refused]
) -> None:
    broker.come(reminder, first, "cmd/pump-7/#")
    ask(reminder, {"csr": pem()})
    while not refusals:
        await broker.said_nothing()
    assert "has not subscribed to" in refusals[0].reason


async def test_of_a_certificate_with_little_life_left_a_note_is_made(
    reminder: Reminder, renewal: Renewal, first: bytes, clock: FakeClock, refusals: list[Refused], registry: Registry
) -> None:
    clock.now += TWO_THIRDS_MS
    await reminder.look_after()
    assert refusals == []
    clock.now += 100 * DAY_MS
    await reminder.look_after()
    [noted] = refusals
    assert (noted.kind, noted.principal) == ("certificate_ending", "pump-7")
    assert "could not be asked to renew" in noted.reason
    # It has what it needs once another is used.
    second = der(await renewal.renew(bound(registry, first), request("pump-7")))
    assert connect(registry, second)
    await until_refused(registry, first)
    await reminder.look_after()
    assert len(refusals) == 1


async def test_other_topics_and_other_clients_are_left_alone(reminder: Reminder, broker: Broker, first: bytes) -> None:
    broker.come(reminder, first, "#", device_id="stranger")
    reminder.heard(Refused(1, "pump-7", "pump-7", "192.0.2.7:1", "banned", "because", 0))
    ask(reminder, {}, topic="$aws/certificates/create/json")
    assert await broker.said_nothing()
