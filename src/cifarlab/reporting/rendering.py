"""From a template and its values to a page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

from markupsafe import Markup


def render_template(name: str, values: Mapping[str, object]) -> str:
    """Return the page; every text from outside is escaped. Templates find ``style`` by itself."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("cifarlab.reporting", "template"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = resources.files("cifarlab.reporting").joinpath("template", "style.css")
    return environment.get_template(name).render(
        {**values, "style": Markup(style.read_text("utf-8"))}
    )
