"""What the audit log is told of jobs."""

import pytest

from appliance.audit.kinds import KINDS
from appliance.commands.jobs.plan import record
from appliance.errors import InvalidInputError
from tests.appliance.commands.jobs.plan.examples import job
from tests.appliance.commands.jobs.plan.fleet import wanted


def test_every_entry_is_of_a_kind_and_names_its_job() -> None:
    entries = [
        record.created(wanted(), 5),
        record.cancelled(job(), "too early", force=True),
        record.deleted(job(), force=False),
    ]
    assert all(entry.action in KINDS and entry.subject == "night" for entry in entries)
    assert [dict(entry.details) for entry in entries] == [
        {"device_count": "5"},
        {"force": "yes", "comment": "too early"},
        {"force": "no", "state": "in_progress"},
    ]
    assert "comment" not in record.cancelled(job(), "", force=False).details


def test_a_comment_has_its_length() -> None:
    record.check_comment("x" * record.COMMENT_LENGTH)
    with pytest.raises(InvalidInputError, match="at most 2,028"):
        record.check_comment("x" * (record.COMMENT_LENGTH + 1))
