"""Where bundles lie, and what their configs say without running them: found in milliseconds, without torch."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from med_stylesr.errors import UsageError

BUNDLE_2D = "ldct_stylesr_2d"
"""The bundle for enhancement at the given slices, ×1 and in plane."""
BUNDLE_FAST = "ldct_stylesr_2d_fast"
"""The same with fewer blocks: half the cost, a little less noise told from anatomy."""
BUNDLE_3D = "ldct_stylesr_3d"
"""The bundle for super-resolution through plane."""


def bundles_root() -> Path:
    """Folder of the bundles that come with the package: inside a wheel, beside the package in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "bundles"
    return inside if inside.is_dir() else package.parent / "bundles"


def find_bundle(name_or_path: str | Path) -> Path:
    """Folder of a bundle given by its name (of those that come with the package) or by its path.

    Raises:
        UsageError: if there is none.
    """
    for candidate in (Path(name_or_path), bundles_root() / str(name_or_path)):
        if (candidate / "configs" / "metadata.json").is_file():
            return candidate.resolve()
    known = ", ".join(sorted(p.parent.parent.name for p in bundles_root().glob("*/configs/metadata.json")))
    raise UsageError(
        f"bundle {name_or_path}", "is no bundle folder (no configs/metadata.json)", f"give a folder or one of: {known}"
    )


def is_shipped(bundle: Path) -> bool:
    """Whether a bundle comes with the package; configs of any other bundle are code that somebody else wrote."""
    return bundle.resolve().parent == bundles_root().resolve()


def declared_styles(bundle: Path) -> list[str] | None:
    """Styles that a bundle's inference config lists, or None where it takes them from elsewhere.

    Args:
        bundle: its folder.
    """
    with suppress(OSError, ValueError, AttributeError):
        styles = json.loads((bundle / "configs" / "inference.json").read_text(encoding="utf-8")).get("styles")
        if isinstance(styles, list) and all(isinstance(name, str) and name[:1] not in "$@%" for name in styles):
            return styles
    return None
