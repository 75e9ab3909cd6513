"""From what is asked to what is written."""

from collections.abc import Callable, Sequence

from appliance.errors import InvalidInputError
from appliance.instant import to_text
from appliance.registry.model import Device
from appliance.telemetry.asking.columns import columns_of
from appliance.telemetry.asking.edges import least_ms, width_of, zone_of
from appliance.telemetry.asking.model import (
    EARLIEST,
    KEYS_LIMIT,
    LATEST,
    ROWS_LIMIT,
    Binned,
    Fill,
    Order,
    Percentile,
    Plain,
    Question,
)
from appliance.telemetry.asking.units import UNKNOWN, units_of
from appliance.telemetry.exporting.model import Asked, By, InBins, Raw, Wanted
from appliance.telemetry.tables.handed import Units
from appliance.telemetry.tables.layout import Form, Layout, columns_for, tells_units

NO_UNITS: Units = {}

KEY_COLUMNS = {By.DEVICE: "device_id", By.GROUP: "group", By.ZONE: "zone", By.TYPE: "type", By.ALL: ""}
CELLS_LIMIT = 100_000_000
"""So many values of bins take some minutes and gigabytes; there are few places for exports, and others wait for one."""

_FILLS = (Fill.NONE, Fill.NULL, Fill.ZERO)

Metrics = Callable[[str], Sequence[str]]
"""Gives the metrics that a device reported."""


def asks_for_metrics(asked: Asked) -> bool:
    """Whether what is written depends on which metrics there are."""
    return asked.form == Form.CSV and not asked.width and not asked.select


def asks_for_units(asked: Asked) -> bool:
    """Whether what is written tells what the metrics are in."""
    if asked.form not in list(Form):
        return False
    form = Form(asked.form)
    return form is Form.PARQUET if asked.width else tells_units(form, is_detailed=asked.is_detailed)


def wanted(
    tenant_id: int, asked: Asked, devices: Sequence[Device], metrics_of: Metrics, units: Units = NO_UNITS
) -> Wanted:
    """What is to be written of these devices. Raises `InvalidInputError`."""
    if not EARLIEST <= asked.start <= asked.end <= LATEST:
        raise InvalidInputError("start and end lie between 1970 and the year 9000, start first")
    if asked.form not in list(Form):
        raise InvalidInputError(f"format is {asked.form[:40]!r}, expected one of {', '.join(Form)}")
    if asked.width:
        return _in_bins(tenant_id, asked, devices, units)
    return _raw(tenant_id, asked, devices, metrics_of, units)


def name_of(wanted: Wanted, *, is_whole: bool) -> str:
    """What a file with it is called: who keeps it may not see what it lacks otherwise."""
    start = wanted.start if isinstance(wanted, Raw) else wanted.question.start
    ending = "csv" if wanted.form is Form.LONG else wanted.form.value
    return f"readings-{to_text(start)[:10]}{'' if is_whole else '-incomplete'}.{ending}"


def _raw(tenant_id: int, asked: Asked, devices: Sequence[Device], metrics_of: Metrics, units: Units) -> Raw:
    if asked.by != By.DEVICE or asked.fill != Fill.NONE:
        raise InvalidInputError("by and fill are for bins: say how wide they are, for example bin=1h")
    columns = columns_of(asked.select) if asked.select else ()
    for column in columns:
        if not isinstance(column, Plain):
            raise InvalidInputError(
                f"{column.name} is not a metric: an export without bin has readings alone; aggregates need bin"
            )
    device_ids = tuple(sorted(device.device_id for device in devices))
    chosen = frozenset(column.metric for column in columns)
    form = Form(asked.form)
    metrics: tuple[str, ...] = ()
    if form is Form.CSV:
        metrics = columns_for(chosen or {metric for device_id in device_ids for metric in metrics_of(device_id)})
    layout = Layout(form, metrics, asked.is_detailed, units)
    return Raw(tenant_id, device_ids, chosen or None, asked.start, asked.end, layout)


def _in_bins(tenant_id: int, asked: Asked, devices: Sequence[Device], units: Units) -> InBins:
    if asked.by not in list(By):
        raise InvalidInputError(f"by is {asked.by[:40]!r}, expected one of {', '.join(By)}")
    if asked.fill not in _FILLS:
        raise InvalidInputError(f"fill is {asked.fill[:40]!r}, an export takes one of {', '.join(_FILLS)}")
    if asked.form == Form.LONG or asked.is_detailed:
        raise InvalidInputError("the long form and details are of readings, not of bins: leave out bin")
    columns = columns_of(asked.select)
    for column in columns:
        if not isinstance(column, Binned | Percentile):
            raise InvalidInputError(f"{column.name} is told of readings, and bin asks for bins: leave one out")
    by = By(asked.by)
    keys: dict[str, list[str]] = {}
    for device in devices:
        for key in keys_of(device, by):
            keys.setdefault(key, []).append(device.device_id)
    if len(keys) > KEYS_LIMIT:
        raise InvalidInputError(f"{len(keys):,} devices are asked about, at most {KEYS_LIMIT:,} may be")
    width = width_of(asked.width)
    _require_few(len(keys), (asked.end - asked.start) // least_ms(width) + 1, len(columns), asked.width)
    question = Question(
        tenant_id=tenant_id,
        keys={key: tuple(keys[key]) for key in sorted(keys)},
        columns=columns,
        start=asked.start,
        end=asked.end,
        width=width,
        zone=zone_of(asked.zone),
        fill=Fill(asked.fill),
        order=Order.OLDEST,
        limit=ROWS_LIMIT,
    )
    metrics = {column.metric for column in columns}
    found = {metric: {of.get(metric, UNKNOWN) for of in units.values()} - {UNKNOWN} for metric in metrics}
    told = units_of(columns, found)
    return InBins(
        question, KEY_COLUMNS[by], Form(asked.form), tuple(each[0] if len(each) == 1 else None for each in told)
    )


def _require_few(row_count: int, bin_count: int, column_count: int, width: str) -> None:
    cell_count = row_count * bin_count * column_count
    if cell_count > CELLS_LIMIT:
        raise InvalidInputError(
            f"{bin_count:,} bins of {width} for each of {row_count:,}, with {column_count:,} columns, are"
            f" {cell_count:,} values, and an export has at most {CELLS_LIMIT:,}: take longer bins, fewer devices or"
            " less time, or the readings themselves"
        )


def keys_of(device: Device, by: By) -> tuple[str, ...]:
    """What the rows are named by that tell of a device."""
    match by:
        case By.DEVICE:
            return (device.device_id,)
        case By.GROUP:
            return device.groups
        case By.ZONE:
            return (device.zone,)
        case By.TYPE:
            return (device.type,)
        case By.ALL:
            return (By.ALL.value,)
