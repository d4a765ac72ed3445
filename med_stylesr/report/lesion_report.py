"""The page that `lesions` writes: who would still see the lesion, how much contrast is left, and what it looks like."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from med_stylesr.metrics.detectability import Task
from med_stylesr.metrics.lesion_study import LesionResult
from med_stylesr.report.display import bytes_uri
from med_stylesr.report.figures import auc_plot, region_grid
from med_stylesr.report.pages import render


def lesion_name(diameter_mm: float, contrast_hu: float) -> str:
    """A lesion in words.

    >>> lesion_name(6, -15)
    '6 mm, -15 HU'
    """
    return f"{diameter_mm:g} mm, {contrast_hu:+g} HU"


def lesion_picture(results: Mapping[Task, Mapping[str, LesionResult]]) -> bytes:
    """PNG: a row of examples and a row of what is left on average for each lesion, a column for each way of processing.

    Args:
        results: lesion → way of processing → result; every lesion in every way.
    """
    rows = []
    for task, mine in results.items():
        name = lesion_name(task.diameter_mm, task.contrast_hu)
        examples = {way: one.example_hu for way, one in mine.items()}
        middle = float(next(iter(examples.values())).mean())
        rows.append((f"{name}\none region", examples, (middle - 80.0, middle + 80.0)))
        reach = abs(task.contrast_hu)
        rows.append((f"{name}\nleft on average", {way: one.left_hu for way, one in mine.items()}, (-reach, reach)))
    return region_grid(rows)


def write_lesion_page(path: Path, document: Mapping[str, Any], picture: bytes) -> None:
    """Write the self-contained page.

    Args:
        path: HTML file to write.
        document: content of lesions.json.
        picture: PNG from `lesion_picture`.
    """
    names = [lesion_name(each["diameter_mm"], each["contrast_hu"]) for each in document["lesions"]]
    plots = [
        (auc_plot({way: (one["auc"], one["auc_low"], one["auc_high"]) for way, one in each["results"].items()}), name)
        for name, each in zip(names, document["lesions"], strict=True)
    ]
    page = render(
        "lesions.html.j2",
        title="Low-contrast lesions",
        document=document,
        lesions=list(zip(names, document["lesions"], strict=True)),
        plots=plots,
        picture=bytes_uri(picture, "image/png"),
    )
    path.write_text(page, encoding="utf-8")
