"""Pages from templates: everything a page needs is inside it, and every value is escaped."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from med_stylesr.report.display import signed


def render(template: str, **values: Any) -> str:
    """Fill a template of this package; `asset(name)` inside a template gives an asset's text, unescaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("med_stylesr.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["signed"] = signed
    environment.globals["asset"] = lambda name: Markup(asset(name))
    return environment.get_template(template).render(**values)


def asset(name: str) -> str:
    """Text of a file in this package's `assets` folder."""
    return files("med_stylesr.report").joinpath("assets", name).read_text(encoding="utf-8")
