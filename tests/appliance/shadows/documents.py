"""Documents of shadows, for laws."""

from typing import Any

from hypothesis import strategies as st

KEYS = st.sampled_from(["a", "b", "c", "a.b", "über", "", "timestamp"])
SCALARS = st.one_of(
    st.booleans(), st.integers(-2, 2), st.sampled_from([0.0, 1.0, 1.5]), st.sampled_from(["", "on", "1"])
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=4)
