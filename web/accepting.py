"""Which of two forms of an answer whoever asks would rather have: the header `Accept` (RFC 9110, 12.5.1)."""

from collections.abc import Iterator
from typing import NamedTuple

from appliance.vitals.exposition import Form

_VERSIONS = {"application/openmetrics-text": ("", "1.0.0"), "text/plain": ("", "0.0.4")}
"""Those versions of each type that can be given; without one, that which there is."""


class _Range(NamedTuple):
    """One thing that would be taken."""

    media_type: str
    version: str
    quality: float


def form_for(accept: str) -> Form:
    """OpenMetrics for whoever asks for it at least as much as for the older text; everybody else gets that."""
    wanted = dict.fromkeys(_VERSIONS, 0.0)
    for asked in _ranges(accept):
        if asked.version in _VERSIONS.get(asked.media_type, ()):
            wanted[asked.media_type] = max(wanted[asked.media_type], asked.quality)
    open_metrics, text = wanted["application/openmetrics-text"], wanted["text/plain"]
    return Form.OPEN_METRICS if open_metrics > 0 and open_metrics >= text else Form.TEXT


def _ranges(accept: str) -> Iterator[_Range]:
    for part in accept.split(","):
        media_type, *parameters = (piece.strip() for piece in part.split(";"))
        told = dict(_parameter(parameter) for parameter in parameters)
        try:
            quality = float(told.get("q", "1"))
        except ValueError:
            continue
        yield _Range(media_type.lower(), told.get("version", ""), quality)


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip().lower(), value.strip().strip('"')
