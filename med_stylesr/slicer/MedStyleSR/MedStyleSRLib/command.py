"""What a user can ask for, as the command line of `med-stylesr enhance`."""

from dataclasses import dataclass
from typing import Optional

from .i18n import _
from .problems import EngineProblem

RUNTIMES = ("auto", "torch", "openvino", "onnx")
"""What may run the networks."""


@dataclass(frozen=True)
class EnhanceRequest:
    """What to do with a scan.

    Attributes:
        strength: 0 … 1, applied to the result of full strength; not used with `dose` or `target_noise`.
        dose: fraction of normal dose the scan was made with, (0, 1], or None.
        target_noise: noise to leave in HU, or None.
        style: name of a style of the bundle.
        bundle: folder of a bundle; empty for the shipped one.
        scale: super-resolution factors (slices, rows, columns).
        spacing: target spacing in mm (slices, rows, columns) instead of a scale, or None.
        device: auto, cpu, cuda or cuda:N.
        runtime: what runs the networks: one of RUNTIMES.

    Raises:
        EngineProblem: for numbers out of range or contradicting ones.
    """

    strength: float = 1.0
    dose: Optional[float] = None
    target_noise: Optional[float] = None
    style: str = "normal-dose"
    bundle: str = ""
    scale: tuple[int, int, int] = (1, 1, 1)
    spacing: Optional[tuple[float, float, float]] = None
    device: str = "auto"
    runtime: str = "auto"

    def __post_init__(self):
        object.__setattr__(self, "scale", tuple(int(factor) for factor in self.scale))
        if not 0 <= self.strength <= 1:
            raise EngineProblem(_("strength"), _("is not between 0 and 1"))
        if self.dose is not None and self.target_noise is not None:
            raise EngineProblem(_("dose and target noise"), _("both say how much noise is to stay"), _("give one"))
        if self.dose is not None and not 0 < self.dose <= 1:
            raise EngineProblem(_("dose"), _("is no fraction of normal dose"), _("use a number above 0, at most 1"))
        if self.target_noise is not None and not self.target_noise > 0:
            raise EngineProblem(_("target noise"), _("must be more than 0 HU"))
        if self.runtime not in RUNTIMES:
            raise EngineProblem(
                _("runtime"), _("is not known"), _("use one of: {names}").format(names=", ".join(RUNTIMES))
            )
        if len(self.scale) != 3 or min(self.scale) < 1:
            raise EngineProblem(_("scale"), _("needs three whole factors from 1 on (slices, rows, columns)"))
        if self.spacing is not None and (len(self.spacing) != 3 or min(self.spacing) <= 0):
            raise EngineProblem(_("spacing"), _("needs three lengths in mm (slices, rows, columns)"))
        if self.spacing is not None and self.scale != (1, 1, 1):
            raise EngineProblem(_("scale and spacing"), _("both say how fine the result is to be"), _("give one"))

    @property
    def solved(self):
        """Whether the engine decides on the strength."""
        return self.dose is not None or self.target_noise is not None

    def arguments(self):
        """Options of `enhance` that say what to do, the same for a volume and for a folder.

        A strength that is not solved for by the engine is left out: see `for_volume` and `for_folder`.
        """
        options = ["--style", self.style, "--device", self.device, "--runtime", self.runtime]
        if self.bundle:
            options += ["--bundle", self.bundle]
        if self.dose is not None:
            options += ["--dose", f"{self.dose:g}"]
        if self.target_noise is not None:
            options += ["--target-noise", f"{self.target_noise:g}"]
        if self.spacing is not None:
            options += ["--spacing", *(f"{mm:g}" for mm in self.spacing)]
        elif self.scale != (1, 1, 1):
            options += ["--scale", *(str(factor) for factor in self.scale)]
        return options

    def factors(self, spacing_mm):
        """Super-resolution factors for a scan: as given, or those the engine takes for a target spacing.

        Args:
            spacing_mm: of the scan (slices, rows, columns).
        """
        if self.spacing is None:
            return self.scale
        return tuple(max(1, round(have / want)) for have, want in zip(spacing_mm, self.spacing))

    def blends(self, spacing_mm):
        """Whether any strength can be blended from one run.

        With factors between and within slices at once it cannot: the second stage refines what the first has made at
        one strength.
        """
        between, *within = self.factors(spacing_mm)
        return between == 1 or max(within) == 1

    def for_volume(self, source, dest, blends):
        """Arguments for one volume file: at full strength where any other can be blended from it."""
        strength = 1 if blends else self.strength
        fixed = [] if self.solved else ["--strength", f"{strength:g}"]
        return ["enhance", str(source), str(dest), *self.arguments(), *fixed, "--no-report", *_WATCHED]

    def for_folder(self, source, dest, resume, overwrite, jobs):
        """Arguments for all scans of a folder, at the strength asked for.

        Args:
            source: folder with DICOM series or volume files.
            dest: folder for the results.
            resume: whether to go on with an earlier run.
            overwrite: whether to replace results.
            jobs: scans at the same time.
        """
        fixed = [] if self.solved or self.strength == 1 else ["--strength", f"{self.strength:g}"]
        flags = [flag for flag, wanted in (("--resume", resume), ("--overwrite", overwrite)) if wanted]
        arguments = [*self.arguments(), *fixed, *flags, "--jobs", str(jobs)]
        return ["enhance", str(source), str(dest), *arguments, *_WATCHED]


_WATCHED = ("--json", "--stop-with-stdin")
