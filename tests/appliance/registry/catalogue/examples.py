"""Devices as tests of the catalogue know them, and strategies that make any device."""

from hypothesis import strategies as st

from appliance.registry.catalogue.table import as_new
from appliance.registry.model import Device, DeviceState, NewDevice
from tests.appliance.registry.examples import NOW

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)
TRICKY = st.sampled_from(["=1+1", "'=x", "''-1", "@a", "+49", "-", "'", 'say "a"', "a,b;c\td", "two\nlines", " x "])
GROUPS = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=6)


def device(device_id: str, **told: object) -> Device:
    new = NewDevice(device_id, **told)  # type: ignore[arg-type]
    return Device(
        1,
        new.device_id,
        new.name,
        new.type,
        new.zone,
        new.serial_number,
        new.state,
        NOW,
        1,
        tuple(sorted(new.groups)),
        new.attributes,
        new.notes,
    )


texts = TEXT | TRICKY
attributes = st.dictionaries(st.text("abcdefgXYZ0._-", min_size=1, max_size=6), texts.filter(bool), max_size=3)
devices = st.builds(
    device,
    st.from_regex(r"[A-Za-z0-9:_-]{1,20}", fullmatch=True),
    name=texts,
    type=texts,
    zone=texts,
    serial_number=texts,
    groups=st.frozensets(GROUPS, max_size=3).map(lambda groups: tuple(sorted(groups))),
    attributes=attributes,
    notes=texts,
    state=st.sampled_from(DeviceState),
)
fleets = st.lists(devices, max_size=6, unique_by=lambda one: one.device_id)

__all__ = ["as_new", "attributes", "device", "devices", "fleets", "texts"]
