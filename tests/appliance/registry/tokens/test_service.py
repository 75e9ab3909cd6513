"""A token is its device: no more, no longer, and from nowhere that would give it away."""

import logging
import stat
from pathlib import Path

import pytest

from appliance.errors import InvalidInputError
from appliance.instant import DAY_MS, MINUTE_MS
from appliance.registry.model import DeviceRetiredError, DeviceState, KeyFolderError, UnknownDeviceError
from appliance.registry.service import Registry
from appliance.registry.tokens import service, throttle
from appliance.registry.tokens.model import TOKENS_LIMIT, TooManyDeviceTokensError, UnknownDeviceTokenError
from appliance.store.database import Database
from broker.ports import Credentials, Denied, Principal
from broker.reason_codes import ReasonCode
from tests.appliance.registry.examples import NOW, FakeClock

PUMP = Principal(1, "pump")
WRONG = "hwd_1.wrong"


def shown(text: str, *, client_id: str = "pump", username: str | None = None, **also: str) -> Credentials:
    address, transport = also.get("address", "192.0.2.7:4711"), also.get("transport", "tls")
    return Credentials(client_id, username, text.encode(), None, address, transport)


def why(answer: object) -> str:
    assert isinstance(answer, Denied)
    return answer.reason


@pytest.fixture
async def token(registry: Registry) -> str:
    await registry.add_device(1, "pump")
    return (await registry.tokens.issue(1, "pump", "old pump", 30)).text


async def test_a_token_makes_its_bearer_the_device(registry: Registry, token: str) -> None:
    for username in (None, "", "pump", "?SDK=Python&Version=1"):
        for transport in ("tls", "websocket"):
            assert registry.authenticate(shown(token, username=username, transport=transport)) == PUMP


async def test_it_opens_under_the_devices_own_names_only(registry: Registry, token: str) -> None:
    await registry.add_device(1, "other")
    assert "other" in why(registry.authenticate(shown(token, client_id="other")))
    assert "user name is 'other'" in why(registry.authenticate(shown(token, username="other")))


async def test_it_has_192_random_bits_and_is_kept_as_an_hmac_of_a_key_for_the_owner_alone(
    registry: Registry, token: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = token.partition(".")[2]
    assert len(secret) == 32
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if secret.encode() in path.read_bytes()] == []
    assert stat.S_IMODE((tmp_path / "pki" / service.KEY_FILE).stat().st_mode) == 0o600
    with caplog.at_level(logging.DEBUG):
        for text in (token, token + "x"):
            registry.authenticate(shown(text))
        await registry.tokens.issue(1, "pump", "another", 1)
    assert secret not in caplog.text
    assert "hwd_" not in caplog.text


@pytest.mark.parametrize("text", ["hwd_", WRONG, "hwd_99.wrong", "hwd_1.", "hwd_nonsense", "hwd_1.é"])
async def test_a_wrong_token_lets_nobody_in_and_says_the_same_whatever_is_wrong(
    registry: Registry, token: str, text: str
) -> None:
    answer = registry.authenticate(shown(text))
    assert "not known here" in why(answer)
    assert isinstance(answer, Denied)
    assert (answer.reason_code, answer.of) == (ReasonCode.BAD_USERNAME_OR_PASSWORD, None)


async def test_without_a_token_and_a_certificate_nobody_comes_in(registry: Registry, token: str) -> None:
    for password in (None, b"", b"secret", token.removeprefix("hwd_").encode()):
        answer = registry.authenticate(Credentials("pump", "pump", password, None, "192.0.2.7:1", "tls"))
        assert "no certificate was shown and no token" in why(answer)


async def test_a_revoked_token_is_refused_for_its_device_and_its_sessions_are_judged(
    registry: Registry, token: str
) -> None:
    changed: list[tuple[int, str]] = []
    registry.rights_changed = lambda *whose: changed.append(whose)
    await registry.tokens.revoke(1, "pump", 1)
    assert changed == [(1, "pump")]
    answer = registry.authenticate(shown(token))
    assert isinstance(answer, Denied)
    assert "'old pump' of pump was revoked" in answer.reason
    assert answer.of == PUMP
    [kept] = registry.tokens.tokens(1, "pump")
    assert kept.revoked_at == NOW


async def test_nobody_revokes_the_token_of_another(registry: Registry, token: str) -> None:
    await registry.add_device(1, "other")
    for tenant_id, device_id, number in ((2, "pump", 1), (1, "other", 1), (1, "pump", 2)):
        with pytest.raises(UnknownDeviceTokenError):
            await registry.tokens.revoke(tenant_id, device_id, number)
    assert registry.authenticate(shown(token)) == PUMP


async def test_an_expired_token_is_refused_and_its_sessions_are_judged_once(
    registry: Registry, token: str, clock: FakeClock
) -> None:
    changed: list[tuple[int, str]] = []
    registry.rights_changed = lambda *whose: changed.append(whose)
    registry.time.is_vouched_for = lambda _: True
    clock.now = NOW + 30 * DAY_MS - 1
    await registry.tokens.look_after()
    assert (registry.authenticate(shown(token)), changed) == (PUMP, [])
    clock.now += 1
    await registry.tokens.look_after()
    await registry.tokens.look_after()
    assert "expired at" in why(registry.authenticate(shown(token)))
    assert changed == [(1, "pump")]


async def test_a_clock_that_cannot_be_believed_keeps_no_token_out(
    registry: Registry, token: str, clock: FakeClock
) -> None:
    registry.time.is_vouched_for = lambda _: False
    for at in (0, NOW + 31 * DAY_MS, NOW + 10_000 * DAY_MS):
        clock.now = at
        await registry.tokens.look_after()
        assert registry.authenticate(shown(token)) == PUMP
    # What is made by such a clock is good for its days once the clock is right.
    clock.now = 0
    late = (await registry.tokens.issue(1, "pump", "made in 1970", 30)).text
    registry.time.is_vouched_for = lambda _: True
    clock.now = NOW
    assert registry.authenticate(shown(late)) == PUMP


@pytest.mark.parametrize("state", [DeviceState.SUSPENDED, DeviceState.RETIRED])
async def test_only_an_active_device_comes_in(registry: Registry, token: str, state: DeviceState) -> None:
    await registry.set_state(1, "pump", state)
    assert state in why(registry.authenticate(shown(token)))
    if state is DeviceState.RETIRED:
        with pytest.raises(DeviceRetiredError):
            await registry.tokens.issue(1, "pump", "late", 1)


async def test_in_the_open_a_token_is_taken_from_near_by_only(registry: Registry, token: str) -> None:
    def comes(address: str) -> object:
        return registry.authenticate(shown(token, address=address, transport="plain"))

    assert comes("127.0.0.1:1") == PUMP
    assert "not encrypted" in why(comes("192.168.7.9:1"))
    registry.tokens.plain_networks = ("192.168.7.0/24",)
    assert comes("192.168.7.9:1") == PUMP
    assert "not encrypted" in why(comes("192.168.8.9:1"))


async def test_where_names_are_trusted_a_wrong_token_is_still_wrong(
    database: Database, tmp_path: Path, clock: FakeClock
) -> None:
    async with Registry(database, tmp_path / "pki", clock, trust_plain=True).opened() as registry:
        await registry.add_device(1, "pump")
        near = {"address": "127.0.0.1:1", "transport": "plain"}
        assert registry.authenticate(Credentials("pump", None, None, None, "127.0.0.1:1", "plain")) == PUMP
        assert "not known here" in why(registry.authenticate(shown(WRONG, **near)))


async def test_who_shows_too_many_wrong_ones_waits_and_nobody_else_does(
    registry: Registry, token: str, clock: FakeClock
) -> None:
    for _ in range(throttle.FREE_MISSES):
        assert "not known here" in why(registry.authenticate(shown(WRONG)))
    assert "try again in 60 s" in why(registry.authenticate(shown(WRONG)))
    assert "try again in 60 s" in why(registry.authenticate(shown(token)))
    assert registry.authenticate(shown(token, address="192.0.2.8:1")) == PUMP
    clock.now += MINUTE_MS
    assert registry.authenticate(shown(token)) == PUMP


async def test_a_neighbour_that_guesses_does_not_keep_out_who_came_from_there_before(
    registry: Registry, token: str
) -> None:
    assert registry.authenticate(shown(token)) == PUMP
    for _ in range(throttle.FREE_MISSES + 1):
        registry.authenticate(shown(WRONG))
    assert "try again" in why(registry.authenticate(shown(WRONG)))
    assert registry.authenticate(shown(token)) == PUMP


async def test_the_memory_for_wrong_tokens_is_bounded(registry: Registry, token: str) -> None:
    for number in range(throttle.REMEMBERED_ORIGINS + 50):
        registry.authenticate(shown(WRONG, address=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}:1"))
    assert len(registry.tokens._misses) == throttle.REMEMBERED_ORIGINS


async def test_tokens_and_their_last_use_outlive_the_process(
    database: Database, tmp_path: Path, clock: FakeClock
) -> None:
    async with Registry(database, tmp_path / "pki", clock).opened() as registry:
        await registry.add_device(1, "pump")
        texts = [(await registry.tokens.issue(1, "pump", name, 1)).text for name in ("first", "second")]
        await registry.tokens.revoke(1, "pump", 1)
        clock.now += 5
        assert registry.authenticate(shown(texts[1])) == PUMP
    async with Registry(database, tmp_path / "pki", clock).opened() as registry:
        second, first = registry.tokens.tokens(1, "pump")
        assert (first.name, first.used_at, first.revoked_at) == ("first", None, NOW)
        assert (second.name, second.used_at, second.used_from) == ("second", NOW + 5, "192.0.2.7")
        assert registry.authenticate(shown(texts[1])) == PUMP
        assert "revoked" in why(registry.authenticate(shown(texts[0])))


async def test_a_lost_key_voids_the_tokens_and_is_told(
    database: Database, tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with Registry(database, tmp_path / "pki", clock).opened() as registry:
        await registry.add_device(1, "pump")
        text = (await registry.tokens.issue(1, "pump", "a", 1)).text
    (tmp_path / "pki" / service.KEY_FILE).unlink()
    async with Registry(database, tmp_path / "pki", clock).opened() as registry:
        assert "not known here" in why(registry.authenticate(shown(text)))
    assert "lost_token_count=1" in caplog.text


@pytest.mark.parametrize("content", ["", "beef\n", "z" * 64])
async def test_a_damaged_key_is_told(database: Database, tmp_path: Path, clock: FakeClock, content: str) -> None:
    async with Registry(database, tmp_path / "pki", clock).opened():
        pass
    path = tmp_path / "pki" / service.KEY_FILE
    path.write_text(content)
    with pytest.raises(KeyFolderError, match="hexadecimal"):
        async with Registry(database, tmp_path / "pki", clock).opened():
            raise AssertionError


async def test_what_cannot_be_issued_is_told(registry: Registry, token: str) -> None:
    with pytest.raises(UnknownDeviceError):
        await registry.tokens.issue(1, "nobody", "a", 1)
    with pytest.raises(UnknownDeviceError):
        registry.tokens.tokens(2, "pump")
    for name, days in (("", 1), ("a", 0)):
        with pytest.raises(InvalidInputError):
            await registry.tokens.issue(1, "pump", name, days)
    for number in range(TOKENS_LIMIT - 1):
        await registry.tokens.issue(1, "pump", f"token {number}", 1)
    with pytest.raises(TooManyDeviceTokensError, match="revoke one"):
        await registry.tokens.issue(1, "pump", "one more", 1)
    await registry.tokens.revoke(1, "pump", 1)
    await registry.tokens.issue(1, "pump", "one more", 1)
