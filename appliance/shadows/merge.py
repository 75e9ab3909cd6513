"""How a patch changes what is kept and the moments of its leaves, and the way back, all found on one walk.

Objects are merged, null removes a key at any depth, anything else replaces what was there.
Nothing that is given is changed: what the patch does not touch is shared by the old and the new, and costs nothing.
"""

from typing import Any, NamedTuple

from appliance.shadows.undoing import EXACT, way_back

SECTIONS = ("desired", "reported")

_NESTED = (dict, list)
_LEAVES = (*EXACT, float)

Object = dict[str, Any]


class Merged(NamedTuple):
    """What comes of a patch."""

    state: Object
    metadata: Object
    times: Object
    """The moments of just what the patch says; null is a leaf, too."""
    state_back: Object
    """The patch that makes of the new state the old one."""
    metadata_back: Object


def merged(state: Object, metadata: Object, patch: Object, second: int) -> Merged:
    """State and metadata with a patch at this second; a section that has no key left is not there any more."""
    made = _merged(state, metadata, patch, {"timestamp": second})
    for section in SECTIONS:
        if section in made.state and not made.state[section]:
            del made.state[section], made.metadata[section]
            if section in state:
                made.state_back[section], made.metadata_back[section] = state[section], metadata[section]
            else:
                del made.state_back[section], made.metadata_back[section]
    return made


def mirrored(value: object, stamp: object) -> Any:
    """The shape of a value with a stamp in the place of each leaf; null is a leaf too."""
    if isinstance(value, dict):
        return {
            # Most are leaves: a call for each would cost the most of all that is done here.
            key: mirrored(inner, stamp) if isinstance(inner, _NESTED) else stamp
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [mirrored(inner, stamp) for inner in value]
    return stamp


def _merged(state: Object, metadata: Object, patch: Object, stamp: dict[str, int]) -> Merged:
    made = Merged(state.copy(), metadata.copy(), {}, {}, {})
    new_state, new_metadata, new_times, state_back, metadata_back = made
    for key, wish in patch.items():
        if wish is None:
            new_times[key] = stamp
            if key in state:
                state_back[key], metadata_back[key] = new_state.pop(key), new_metadata.pop(key)
            continue
        if isinstance(wish, dict):
            _merge_object(made, key, wish, stamp)
            continue
        old, old_times = state.get(key), metadata.get(key)
        times = mirrored(wish, stamp) if isinstance(wish, list) else stamp
        new_state[key] = wish
        new_metadata[key] = new_times[key] = times
        if type(wish) is not type(old) or wish != old or type(old) not in EXACT:
            state_back[key] = old  # None where nothing was: the patch that takes it away.
        if old_times != times:
            metadata_back[key] = old_times if type(old) in _LEAVES else _times_back(times, old_times)
    return made


def _merge_object(made: Merged, key: str, wish: Object, stamp: dict[str, int]) -> None:
    """Merge an object into what stands at a key."""
    old, old_times = made.state.get(key), made.metadata.get(key)
    if isinstance(old, dict):
        inner = _merged(old, made.metadata[key], wish, stamp)
        if inner.state_back:
            made.state_back[key] = inner.state_back
        if inner.metadata_back:
            made.metadata_back[key] = inner.metadata_back
    else:
        inner = _merged({}, {}, wish, stamp)
        made.state_back[key] = old
        made.metadata_back[key] = _times_back(inner.metadata, old_times)
    made.state[key], made.metadata[key], made.times[key] = inner[:3]


def _times_back(times: Any, old_times: Any) -> Any:
    """What leads back to the moments of something that had another shape: None where there was nothing."""
    if isinstance(times, dict) and isinstance(old_times, dict):
        return way_back(times, old_times)
    return old_times
