"""Options of `enhance` that only make sense together or apart."""

from __future__ import annotations

from med_stylesr.errors import UsageError


def refuse_beside_stream(**given: object) -> None:
    """Refuse options that a stream has no use for.

    Args:
        given: options by their names; what is true or not empty was asked for.

    Raises:
        UsageError: naming the first.
    """
    for name, value in given.items():
        if value:
            option = "--" + name.replace("_", "-")
            raise UsageError(f"--stream and {option}", "do not go together", "leave one of them out")


def strength_request(
    strength: str, dose: float | None, target_noise: float | None
) -> tuple[float | None, float | None, float | None]:
    """Strength, dose fraction and target noise in HU, None where automatic strength decides.

    Raises:
        UsageError: if they contradict each other.
    """
    if strength == "auto":
        if dose is not None and target_noise is not None:
            raise UsageError("--dose and --target-noise", "both say what auto is to aim at", "give one of them")
        return None, dose, target_noise
    try:
        fixed = float(strength)
    except ValueError:
        raise UsageError(f"--strength {strength}", "is neither auto nor a number", "use auto or 0 … 1") from None
    if target_noise is not None or dose is not None:
        raise UsageError("--dose or --target-noise", "only steer automatic strength", "leave --strength out")
    return fixed, None, None
