import asyncio
from pathlib import Path

import pytest

from appliance.notifications.channel import ChannelError
from appliance.notifications.mailbox import KEPT_LIMIT, SHOWN_LIMIT, MailboxChannel
from appliance.notifications.model import MailboxMessage
from tests.appliance.notifications.examples import NOTICE, START, notice


async def test_a_notice_is_shown_as_it_was_written_also_after_a_restart(tmp_path: Path) -> None:
    await MailboxChannel(tmp_path / "mailbox").send(NOTICE)
    (message,) = MailboxChannel(tmp_path / "mailbox").messages()
    assert message == MailboxMessage(
        notice_id=7,
        recipient=NOTICE.recipient,
        subject=NOTICE.subject,
        body=NOTICE.body,
        created_at=START,
        message_id=message.message_id,
    )
    assert message.message_id.startswith("<notice-7.")


async def test_an_empty_mailbox_has_no_messages(tmp_path: Path) -> None:
    assert MailboxChannel(tmp_path / "absent").messages() == []


async def test_the_newest_hundred_are_shown_newest_first(tmp_path: Path) -> None:
    mailbox = MailboxChannel(tmp_path)
    async with asyncio.TaskGroup() as tasks:
        for number in range(1, SHOWN_LIMIT + 6):
            tasks.create_task(mailbox.send(notice(notice_id=number)))
    assert [message.notice_id for message in mailbox.messages()] == list(range(SHOWN_LIMIT + 5, 5, -1))
    await mailbox.send(notice(notice_id=1_000))
    assert [message.notice_id for message in mailbox.messages()][:2] == [1_000, SHOWN_LIMIT + 5]


async def test_a_repeat_is_still_one_message(tmp_path: Path) -> None:
    mailbox = MailboxChannel(tmp_path)
    for attempt_count in (0, 1):
        await mailbox.send(notice(attempt_count=attempt_count))
    assert len(mailbox.messages()) == 1
    assert len(list(tmp_path.iterdir())) == 1


async def test_what_was_cut_off_in_the_middle_is_not_shown_and_does_not_disturb(tmp_path: Path) -> None:
    (tmp_path / ".000000000007.eml").write_bytes(b"From: ")
    (tmp_path / "notes.txt").write_text("hello", encoding="utf-8")
    mailbox = MailboxChannel(tmp_path)
    assert mailbox.messages() == []
    await mailbox.send(NOTICE)
    assert [message.notice_id for message in mailbox.messages()] == [7]
    assert {path.name for path in tmp_path.iterdir()} == {"000000000007.eml", "notes.txt"}


async def test_no_subject_can_break_the_list(tmp_path: Path) -> None:
    mailbox = MailboxChannel(tmp_path)
    await mailbox.send(notice(subject="pump\r\nBcc: eve@example.com", body="\u00fc\n\n.\nend"))
    (message,) = mailbox.messages()
    assert message.subject == "pump  Bcc: eve@example.com"
    assert message.body == "\u00fc\n\n.\nend\n"


async def test_the_oldest_go_when_the_mailbox_is_full(tmp_path: Path) -> None:
    for number in range(KEPT_LIMIT):
        (tmp_path / f"{number:012d}.eml").write_bytes(b"")
    await MailboxChannel(tmp_path).send(notice(notice_id=5_000))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert (len(names), names[0], names[-1]) == (KEPT_LIMIT, "000000000001.eml", "000000005000.eml")


async def test_a_folder_that_cannot_be_written_is_said_and_tried_again(tmp_path: Path) -> None:
    (tmp_path / "mailbox").write_text("a file is in the way", encoding="utf-8")
    with pytest.raises(ChannelError, match="cannot be written") as caught:
        await MailboxChannel(tmp_path / "mailbox").send(NOTICE)
    assert not caught.value.permanent


async def test_an_unusable_recipient_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(ChannelError, match="expected an e-mail address") as caught:
        await MailboxChannel(tmp_path).send(notice(recipient="nobody"))
    assert caught.value.permanent


async def test_a_message_is_for_its_owner_only(tmp_path: Path) -> None:
    await MailboxChannel(tmp_path / "mailbox").send(NOTICE)
    (file,) = (tmp_path / "mailbox").iterdir()
    assert file.stat().st_mode & 0o077 == 0
