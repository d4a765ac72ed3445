"""Noise at any strength, from the curve that the engine measures on the scan."""

import numpy as np


def noise_at(strength, curve):
    """Noise in HU at a strength; None where the engine could not measure any.

    Args:
        strength: 0 … 1.
        curve: (strength, HU) pairs in order of strength: `strength_curve` of the engine's facts.
    """
    if not curve:
        return None
    strengths, levels = zip(*curve)
    return float(np.interp(strength, strengths, levels))
