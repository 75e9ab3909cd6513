import asyncio
import sqlite3
from pathlib import Path

import pytest

from appliance.instant import DAY_MS, MINUTE_MS, SECOND_MS
from appliance.notifications.channel import ChannelError
from appliance.notifications.email import SmtpChannel
from appliance.notifications.mailbox import MailboxChannel
from appliance.notifications.model import Notice
from appliance.notifications.retry import ATTEMPT_LIMIT
from tests.appliance.notifications.examples import START, Hands, sending
from tests.appliance.notifications.smtp_server import SmtpServer, silence


class Tray:
    """A channel that keeps what it gets, one at a time when its lid is shut."""

    def __init__(self, failures: int = 0, reason: str = "busy") -> None:
        self.reason = reason
        self.taken: list[int] = []
        self.begun: list[int] = []
        self.failures = failures
        self.came = asyncio.Event()
        self.lid = asyncio.Event()
        self.lid.set()

    async def until_begun(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.begun) < count:
                self.came.clear()
                await self.came.wait()

    async def send(self, notice: Notice) -> None:
        self.begun.append(notice.notice_id)
        self.came.set()
        await self.lid.wait()
        if self.failures:
            self.failures -= 1
            raise ChannelError(self.reason, permanent=False)
        self.taken.append(notice.notice_id)


async def test_a_notice_is_sent_once(tmp_path: Path) -> None:
    async with (
        SmtpServer().listening() as server,
        sending(tmp_path, Hands(), email=SmtpChannel(server.config())) as outbox,
    ):
        await outbox.queue()
        (after,) = await outbox.attempted()
        assert (after.sent_at, after.attempt_count, after.due_at) == (START, 1, None)
        for _ in range(3):
            outbox.advance(DAY_MS)
            await outbox.settle()
        assert await outbox.kept() == [after]
    assert len(server.messages) == 1


async def test_a_refused_recipient_is_given_up_and_says_why_while_others_are_sent(tmp_path: Path) -> None:
    async with (
        SmtpServer().listening() as server,
        sending(tmp_path, Hands(), email=SmtpChannel(server.config())) as outbox,
    ):
        server.recipient_answers["gone@example.com"] = ["550 5.1.1 no such mailbox"]
        await outbox.queue("gone@example.com")
        await outbox.queue("maria@example.com")
        await outbox.attempted(2)
        gone, sent = await outbox.kept()
        assert gone.given_up_at == START
        assert gone.last_error == f"127.0.0.1:{server.port} answered 550 5.1.1 no such mailbox"
        assert sent.sent_at == START
        outbox.advance(DAY_MS)
        await outbox.settle()
        assert (await outbox.kept())[0].attempt_count == 1


async def test_a_temporary_refusal_is_tried_again_when_it_is_due_and_not_before(tmp_path: Path) -> None:
    async with (
        SmtpServer().listening() as server,
        sending(tmp_path, Hands(), email=SmtpChannel(server.config())) as outbox,
    ):
        server.recipient_answers["maria@example.com"] = ["451 4.7.1 greylisted", "451 4.7.1 greylisted"]
        await outbox.queue()
        (first,) = await outbox.attempted()
        assert (first.due_at, first.sent_at) == (START + 5 * SECOND_MS, None)
        assert not outbox.notifications.status().ok
        outbox.advance(5 * SECOND_MS - 1)
        await outbox.settle()
        assert [notice.attempt_count for notice in await outbox.kept()] == [1]
        outbox.advance(1)
        (second,) = await outbox.attempted()
        assert second.due_at == START + 35 * SECOND_MS
        outbox.advance(30 * SECOND_MS)
        (third,) = await outbox.attempted()
        assert (third.sent_at, third.last_error) == (START + 35 * SECOND_MS, None)
        assert outbox.notifications.status().ok
    assert len(server.messages) == 1


async def test_a_server_that_is_down_for_a_while_gets_every_notice_exactly_once(tmp_path: Path) -> None:
    async with silence() as (port, _):
        pass
    server = SmtpServer()
    async with sending(tmp_path, Hands(), email=SmtpChannel(server.config(port=port))) as outbox:
        for number in range(3):
            await outbox.queue(f"user{number}@example.com")
        await outbox.attempted(3)
        outbox.advance(5 * SECOND_MS)
        assert [notice.attempt_count for notice in await outbox.attempted(3)] == [2, 2, 2]
        async with server.listening(port):
            outbox.advance(30 * SECOND_MS)
            await outbox.attempted(3)
            outbox.advance(DAY_MS)
            await outbox.settle()
    assert sorted(recipient for _, (recipient,) in server.envelopes) == [
        f"user{number}@example.com" for number in range(3)
    ]


async def test_a_server_that_says_nothing_delays_no_other_channel_and_is_tried_again(tmp_path: Path) -> None:
    async with silence() as (port, count):
        hanging = SmtpChannel(SmtpServer().config(port=port, timeout_ms=300))
        mailbox = MailboxChannel(tmp_path / "mailbox")
        async with sending(tmp_path, Hands(), email=hanging, mailbox=mailbox) as outbox:
            for _ in range(6):
                await outbox.queue()
            await outbox.queue(channel="mailbox")
            (sent,) = await outbox.attempted()
            assert sent.channel == "mailbox"
            assert len(mailbox.messages()) == 1
            failed = await outbox.attempted(6)
            assert {notice.last_error for notice in failed} == {f"127.0.0.1:{port} did not answer within 0.3 s"}
            assert all(notice.due_at == START + 5 * SECOND_MS for notice in failed)
            assert count() == 6


async def test_one_hanging_notice_delays_no_other_of_its_channel(tmp_path: Path) -> None:
    async with (
        SmtpServer().listening() as server,
        sending(tmp_path, Hands(), email=SmtpChannel(server.config())) as outbox,
    ):
        server.data_released.clear()
        await outbox.queue("slow@example.com")
        await server.data_arrived.wait()
        server.data_released = asyncio.Event()
        server.data_released.set()
        await outbox.queue("quick@example.com")
        (quick,) = await outbox.attempted()
        assert quick.recipient == "quick@example.com"


async def test_what_was_under_way_at_a_stop_is_sent_after_the_next_start(tmp_path: Path) -> None:
    clock = Hands()
    async with SmtpServer().listening() as server:
        server.data_released.clear()
        channel = SmtpChannel(server.config())
        async with sending(tmp_path, clock, email=channel) as outbox:
            await outbox.queue()
            await server.data_arrived.wait()
        assert server.messages == []
        server.data_released.set()
        async with sending(tmp_path, clock, email=channel) as outbox:
            (after,) = await outbox.attempted()
            assert after.sent_at == START
    # The first conversation may have been taken too: then both are one message by their identifier.
    assert len({message["Message-ID"] for message in server.messages}) == 1


async def test_what_was_queued_while_nothing_ran_is_sent_at_the_start(tmp_path: Path) -> None:
    async with sending(tmp_path, Hands()) as outbox:
        await outbox.queue()
        await outbox.settle()
    tray = Tray()
    async with sending(tmp_path, Hands(), email=tray) as outbox:
        await outbox.attempted()
    assert tray.taken == [1]


async def test_at_most_four_are_sent_at_once_the_oldest_first(tmp_path: Path) -> None:
    tray = Tray()
    tray.lid.clear()
    async with sending(tmp_path, Hands(), email=tray) as outbox:
        for _ in range(7):
            await outbox.queue()
        await tray.until_begun(4)
        await outbox.settle()
        assert tray.begun == [1, 2, 3, 4]
        tray.lid.set()
        await outbox.attempted(7)
    assert sorted(tray.taken) == sorted(tray.begun) == list(range(1, 8))


async def test_a_notice_that_fails_for_two_days_is_given_up_visibly(tmp_path: Path) -> None:
    tray = Tray(failures=100)
    async with sending(tmp_path, Hands(), email=tray) as outbox:
        await outbox.queue()
        (after,) = await outbox.attempted()
        while after.due_at is not None:
            outbox.advance(after.due_at - outbox.clock())
            (after,) = await outbox.attempted()
        assert (after.attempt_count, after.given_up_at, after.last_error) == (ATTEMPT_LIMIT, outbox.clock(), "busy")
        assert await outbox.kept() == [after]
        status = outbox.notifications.status()
        assert (status.ok, status.summary) == (False, "email: busy")


async def test_a_notice_for_a_channel_that_is_no_longer_set_up_waits_and_says_so(tmp_path: Path) -> None:
    async with sending(tmp_path, Hands()) as outbox:
        await outbox.queue(channel="pager")
    async with sending(tmp_path, Hands(), email=Tray()) as outbox:
        (after,) = await outbox.attempted()
        assert after.last_error == "no channel named pager is set up"
        assert after.due_at is not None
    tray = Tray()
    clock = Hands()
    clock.now += 5 * SECOND_MS
    async with sending(tmp_path, clock, pager=tray) as outbox:
        await outbox.attempted()
    assert tray.taken == [1]


async def test_a_stop_lets_what_is_under_way_finish_and_begins_nothing_new(tmp_path: Path) -> None:
    tray = Tray()
    tray.lid.clear()
    async with sending(tmp_path, Hands(), 10_000, email=tray) as outbox:
        for _ in range(5):
            await outbox.queue()
        # As many as may be at once.
        await tray.until_begun(4)
        asyncio.get_running_loop().call_later(0.05, tray.lid.set)
    assert sorted(tray.taken) == [1, 2, 3, 4]
    async with sending(tmp_path, Hands(), email=tray) as outbox:
        await outbox.attempted()
    assert sorted(tray.taken) == [1, 2, 3, 4, 5]


async def test_a_full_disk_neither_loses_nor_repeats_a_notice(tmp_path: Path) -> None:
    tray = Tray(reason="busy" * 50_000, failures=1)
    async with sending(tmp_path, Hands(), email=tray) as outbox:
        await outbox.database.maintain(lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchone())
        # What is to be written down does not fit; the first attempt to do so fails before this returns.
        notice_id = await outbox.queue(body="")
        await tray.until_begun(1)
        await outbox.settle()
        assert tray.begun == [notice_id]
        outbox.advance(DAY_MS)
        await outbox.settle()
        assert tray.begun == [notice_id]
        assert [notice.attempt_count for notice in await outbox.kept()] == [0]
        await outbox.database.maintain(lambda connection: connection.execute("PRAGMA max_page_count = 9999").fetchone())
        (after,) = await outbox.attempted()
        assert (after.attempt_count, after.last_error) == (1, "busy" * 50_000)


async def test_a_commit_that_fails_ends_the_sender_and_the_notice_stays_due(tmp_path: Path) -> None:
    """A crash between sending and marking: the notice comes again, none is lost."""

    class Breaking(Tray):
        """Takes a notice and leaves the database unable to mark it."""

        async def send(self, notice: Notice) -> None:
            await super().send(notice)
            await outbox.database.write(break_marking)

    def break_marking(connection: sqlite3.Connection) -> None:
        connection.execute(
            "CREATE TRIGGER broken BEFORE UPDATE ON outbox BEGIN SELECT RAISE(ABORT, 'the disk is gone'); END"
        )

    first = Breaking()
    with pytest.RaisesGroup(pytest.RaisesExc(sqlite3.IntegrityError, match="the disk is gone"), flatten_subgroups=True):
        async with sending(tmp_path, Hands(), email=first) as outbox:
            await outbox.queue()
            await asyncio.Event().wait()
    connection = sqlite3.connect(tmp_path / "gateway.db")
    connection.execute("DROP TRIGGER broken")
    connection.close()
    second = Tray()
    async with sending(tmp_path, Hands(), email=second) as outbox:
        await outbox.attempted()
    assert first.taken == second.taken == [1]


async def test_notices_that_are_due_wake_the_sender_by_the_real_clock_too(tmp_path: Path) -> None:
    """Without anybody calling `wake`: the wait is measured in milliseconds."""
    tray = Tray(failures=1)
    clock = Hands()
    async with sending(tmp_path, clock, email=tray) as outbox:
        await outbox.queue()
        (after,) = await outbox.attempted()
        assert after.due_at is not None
        # 20 ms before it is due, seen by the sender; then the moment itself, which nobody announces.
        outbox.advance(after.due_at - clock() - 20)
        await outbox.settle()
        clock.now += MINUTE_MS
        (after,) = await outbox.attempted()
        assert after.sent_at == clock()
