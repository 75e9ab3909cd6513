"""Executions for tests."""

from hypothesis import strategies as st

from appliance.commands.jobs.model import Execution, ExecutionState, Retries, Terms, Window

NOW = 1_800_000_000_000
RUNNING = 5_000_000


def execution(number: int = 1, state: ExecutionState = ExecutionState.QUEUED, **fields: object) -> Execution:
    values: dict[str, object] = {
        "execution_id": number,
        "tenant_id": 1,
        "job_number": number,
        "job_id": f"job-{number}",
        "device_id": "pump",
        "try_number": 1,
        "state": state,
        "details": {},
        "version": 1,
        "queued_at": NOW - 60_000,
        "updated_at": NOW - 60_000,
    }
    return Execution(**{**values, **fields})  # type: ignore[arg-type]


def always(_windows: tuple[Window, ...], _now: int) -> bool:
    return True


def never(_windows: tuple[Window, ...], _now: int) -> bool:
    return False


terms = st.builds(
    Terms,
    in_progress_minutes=st.none() | st.integers(1, 10_080),
    retries=st.builds(Retries, failed=st.integers(0, 10), timed_out=st.integers(0, 10), either=st.integers(0, 10)),
)
details = st.dictionaries(st.from_regex(r"[a-zA-Z0-9:_-]{1,128}", fullmatch=True), st.text(max_size=20), max_size=4)
