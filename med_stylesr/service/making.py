"""What a derived series says of its making."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from med_stylesr import __version__
from med_stylesr.inference.enhancer import Enhancement, Enhancer
from med_stylesr.inference.request import REFERENCE_STYLE, EnhanceOptions
from med_stylesr.io.derivation import SMOOTHING, SPATIAL_RESAMPLING, Derivation

SERIES_NUMBER_OFFSET: Final = 9000
"""Added to SeriesNumber: derived series sort behind the originals of a study."""


def derivation_of(
    enhancement: Enhancement, options: EnhanceOptions, enhancer: Enhancer, created: datetime
) -> Derivation:
    """What the derived series says of its making."""
    facts = enhancement.facts()
    models = {
        f"model{i or ''}": f"{b['name']} {b['version']} sha256 {b['weights_sha256']}"
        for i, b in enumerate(facts["bundles"])
    }
    runtime = facts["bundles"][0]["runtime"]
    scaled = options.scale != (1, 1, 1)
    return Derivation(
        summary="Normal-dose style from low-dose CT by a neural network (research use only)",
        tool="med-stylesr",
        tool_version=__version__,
        codes=(SMOOTHING, SPATIAL_RESAMPLING) if scaled else (SMOOTHING,),
        created=created,
        series_suffix="med-stylesr x" + "x".join(map(str, options.scale)) if scaled else "med-stylesr",
        series_number_offset=SERIES_NUMBER_OFFSET,
        source_radius=enhancement.reach,
        parameters={
            **models,
            "runtime": f"{runtime['runtime']} {runtime['version']} {runtime['precision']}",
            "style": options.style,
            "strength": facts["strength"],
            "correction": facts["correction"],
            **(
                {"style reference sha256": enhancer.offer(through_plane=False).weights_sha256[-1]}
                if options.style == REFERENCE_STYLE
                else {}
            ),
            "scale": list(options.scale),
            **({"safe": "yes"} if options.safe else {}),
        },
    )
