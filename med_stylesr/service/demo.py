"""The demonstration: the main job on the sample scan of the project, judged against its normal-dose partner."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from med_stylesr.errors import UsageError
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.source import find_inputs
from med_stylesr.report.aligned import AlignedPair
from med_stylesr.report.comparison import Comparison
from med_stylesr.report.enhance_report import write_enhance_report
from med_stylesr.report.gain import gains
from med_stylesr.report.measures import measure_pair
from med_stylesr.service.batch import Events, run_batch
from med_stylesr.service.manifest import FAILED
from med_stylesr.service.settings import EnhanceSettings
from med_stylesr.volume import CTVolume

TITLE = "med-stylesr: simulated quarter-dose chest CT, enhanced"
ATTRIBUTION = "LIDC-IDRI-0001, The Cancer Imaging Archive, CC BY 3.0, doi:10.7937/K9/TCIA.2015.LO9QL9SX"


@dataclass(frozen=True)
class DemoResult:
    """What the demonstration made.

    Attributes:
        folders: result folders by what they hold.
        page: the full report, against normal dose.
        picture: PNG of one slice.
        table: figures in words, name to value.
    """

    folders: dict[str, Path]
    page: Path
    picture: Path
    table: dict[str, str]


def sample_root() -> Path:
    """Folder of the sample scan: inside a wheel, or in the tests' data of a checkout.

    Raises:
        UsageError: if the installation has none.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "sample", package.parent / "tests" / "data" / "lidc_idri_0001"):
        if (folder / "quarter_dose").is_dir():
            return folder
    raise UsageError("demo", "the sample scan is not part of this installation", "install from a checkout or a wheel")


def run_demo(dest: Path, settings: EnhanceSettings, events: Events) -> DemoResult:
    """Enhance the sample as it is and super-resolved, and compare with normal dose.

    Args:
        dest: output folder.
        settings: what to do; the scale of its options is that of the second, super-resolved series.
        events: told what happens.

    Raises:
        UsageError: if the sample is missing or a series failed.
    """
    sample = sample_root()
    plain = replace(settings, options=replace(settings.options, scale=(1, 1, 1)))
    folders = {"enhanced": dest / "enhanced", "super-resolved": dest / "super_resolved"}
    manifests = {}
    for (name, folder), how in zip(folders.items(), (plain, settings), strict=True):
        manifest = run_batch(sample / "quarter_dose", folder, how, jobs=1, resume=False, events=events)
        manifests[name] = manifest
        failed = [entry for entry in manifest.entries if entry.status == FAILED]
        if failed:
            raise UsageError(f"demo: {failed[0].source}", failed[0].reason, "see --help for --overwrite")
    low, normal = _only_series(sample / "quarter_dose"), _only_series(sample / "normal_dose")
    enhanced, fine = (_only_series(folder) for folder in folders.values())
    (entry,) = (entry for entry in manifests["enhanced"].entries if entry.facts)
    measures = measure_pair(AlignedPair(low, enhanced), entry.facts["noise_before_hu"])
    comparison = Comparison(low, enhanced, normal, known=measures)
    told = {f"PSNR, SSIM against normal dose, {gain.convention}": gain.words for gain in gains(low, enhanced, normal)}
    table = {**comparison.figures(), **told}
    picture, page = dest / "comparison.png", dest / "report.html"
    comparison.write_png(picture)
    write_enhance_report(page, low, enhanced, {**entry.facts, "scan": ATTRIBUTION}, title=TITLE, reference=normal)
    Comparison(low, fine, normal).write_png(dest / "super_resolved.png")
    return DemoResult(folders, page, picture, table)


def _only_series(folder: Path) -> CTVolume:
    with find_inputs(folder) as inputs:
        if len(inputs.series) != 1:
            raise UsageError(str(folder), f"holds {len(inputs.series)} series, not the one", "choose an empty DEST")
        return read_volume(inputs.series[0])
