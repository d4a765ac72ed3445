"""Formulas of the documentation as MathML, made while the site is built: pages show them without a network."""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert

_FORMULA = re.compile(
    r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>',
    re.DOTALL,
)


def on_page_content(text: str, **_: Any) -> str:
    """Replace the formulas that Markdown has marked; a hook of MkDocs."""

    def formula(found: re.Match[str]) -> str:
        return str(convert(html.unescape(found[2]), display="block" if found[1] == "div" else "inline"))

    return _FORMULA.sub(formula, text)
