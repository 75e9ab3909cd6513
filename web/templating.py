"""The templates, and the few words they may use."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from appliance import instant
from web import refusals, words
from web.assets import Assets

FOLDER = Path(__file__).parent

Render = Callable[[str, dict[str, Any]], str]
"""Fills a template, by its name, with a context."""


def environment(assets: Assets) -> Environment:
    """The templates of `web/templates`. Everything that is filled in is escaped."""
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals["asset"] = assets.url
    made.filters.update(
        {
            "number": words.number,
            "count": words.count,
            "reading": words.reading,
            "unit": words.unit,
            "duration": words.duration,
            "hold": words.hold,
            "metric_name": words.metric_name,
            "iso": instant.to_text,
            "advice": refusals.advice,
        }
    )
    return made


def renderer(templates: Environment) -> Render:
    """The way to fill a template of this environment."""

    def render(name: str, context: dict[str, Any]) -> str:
        return templates.get_template(name).render(context)

    return render
