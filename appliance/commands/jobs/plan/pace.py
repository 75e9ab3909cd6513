"""How many devices may have the work of a job offered now.

Rules: in any minute, wherever it begins, no more than the pace allows. Minutes are counted by a clock that nobody
sets; it begins anew with the machine, and then what was started before counts as started just now: a restart makes
nothing faster.
"""

from appliance.commands.jobs.plan.model import Growth, JobConfig, Progress, Starts
from appliance.instant import MINUTE_MS


def per_minute(config: JobConfig, progress: Progress) -> int:
    """How many may be started in a minute, as far as the job has come."""
    growth = config.growth
    if growth is None:
        return config.per_minute
    rate = float(growth.base_per_minute)
    for _ in range(_steps(growth, progress)):
        if rate >= config.per_minute:
            break
        rate *= growth.factor
    return min(int(rate), config.per_minute)


def allowed(rate: int, starts: Starts, uptime_ms: int) -> int:
    """How many more may be started at this moment."""
    return max(0, rate - sum(count for at, count in starts.recent if uptime_ms - at < MINUTE_MS))


def resumed(starts: Starts, boot_id: str, uptime_ms: int) -> Starts:
    """What was started lately, by the clock of this boot."""
    is_same_boot = bool(boot_id) and starts.boot_id == boot_id
    if is_same_boot and all(at <= uptime_ms for at, _ in starts.recent):
        return starts
    return Starts(boot_id, tuple((uptime_ms, count) for _, count in starts.recent))


def noted(starts: Starts, count: int, uptime_ms: int) -> Starts:
    """The same with those that were started at this moment, and without what is past."""
    kept = tuple(one for one in starts.recent if uptime_ms - one[0] < MINUTE_MS)
    return Starts(starts.boot_id, (*kept, (uptime_ms, count)) if count else kept)


def wait_ms(rate: int, starts: Starts, uptime_ms: int) -> int:
    """After how long one more may be started; 0 is now."""
    used = 0
    for at, count in reversed(starts.recent):
        used += count
        if used >= rate:
            return max(0, at + MINUTE_MS - uptime_ms)
    return 0


def _steps(growth: Growth, progress: Progress) -> int:
    """How often the pace has grown."""
    if growth.succeeded_count:
        return progress.succeeded // growth.succeeded_count
    return progress.offered // growth.notified_count if growth.notified_count else 0
