r"""Make a smaller or a larger bundle of a trained one, by whole blocks; it is to be trained after that.

    python tools/resize_bundle.py MINE MINE_FAST --num-blocks 1 1 0 --scan SCAN
    python tools/resize_bundle.py MINE MINE_LARGE --num-blocks 2,3 3,3 7
    med-stylesr train MINE_FAST --overlay MINE_FAST/configs/finetune.json --data SCANS --run-dir runs/fast

Blocks that go are those whose absence changes the result least on some slices of SCAN, a low-dose DICOM series or
volume. Blocks that come add nothing until they are trained: the larger bundle begins with the results of the old. The
new bundle is the old one with other `num_blocks` in its configs and these weights; its pages still tell of the old, and
the table of normal-dose noise and the 8-bit model, which hold for the old weights only, are left out.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch

from med_stylesr.inference import quantised
from med_stylesr.inference.bundle import load_bundle
from med_stylesr.inference.normal_dose import FILE
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.source import find_inputs
from med_stylesr.io.volume_file import read_volume_file
from med_stylesr.networks.generator import StyleSRGenerator
from med_stylesr.networks.growth import add_blocks
from med_stylesr.networks.pruning import block_importance, prune
from med_stylesr.networks.trunk import BlockCount

SLICES = 4
SEED = 0
"""Of the first convolutions of new blocks."""


def main() -> None:
    """Measure, resize, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("out", type=Path)
    parser.add_argument("--num-blocks", type=_count, nargs="+", required=True, help="per level; a pair as DOWN,UP")
    parser.add_argument("--scan", type=Path, help="needed if blocks go")
    arguments = parser.parse_args()
    if arguments.out.exists():
        parser.error(f"{arguments.out} exists; choose another place")
    loaded = load_bundle(arguments.bundle, torch.device("cpu"))
    network, num_blocks = loaded.network, arguments.num_blocks
    if network.spatial_dims != 2:
        parser.error("only 2D bundles are resized by this tool")
    torch.manual_seed(SEED)
    try:
        if not any(count < len(stage.blocks) for _, stage, count in network.stages_for(num_blocks)):
            resized = add_blocks(network, num_blocks)
        elif arguments.scan is None:
            parser.error("blocks go: name a --scan to measure on which of them matter")
        else:
            resized = prune(network, _importance(network, arguments.scan), num_blocks)
    except ValueError as error:
        parser.error(str(error))
    left_out = ("runs", "*.pt", FILE.name, f"{quantised.FILE.stem}.*")
    shutil.copytree(loaded.path, arguments.out, ignore=shutil.ignore_patterns(*left_out))
    for path in (arguments.out / "configs").glob("*.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        if "num_blocks" in config:
            config["num_blocks"] = num_blocks
            path.write_text(json.dumps(config, indent=4) + "\n", encoding="utf-8")
    (arguments.out / "models").mkdir(exist_ok=True)
    torch.save(resized.state_dict(), arguments.out / "models" / "model.pt")


def _importance(network: StyleSRGenerator, scan: Path) -> dict[str, float]:
    with find_inputs(scan) as inputs:
        volume = read_volume(inputs.series[0]) if inputs.series else read_volume_file(inputs.volumes[0].path)
    reach = network.centre
    step = max(1, (len(volume.hu) - 2 * reach) // SLICES)
    middle = range(reach, len(volume.hu) - reach, step)
    images = [torch.from_numpy(volume.hu[k - reach : k + reach + 1]).float()[None] for k in middle]
    importance = block_importance(network, images, network.scales[0])
    for name, change in importance.items():
        print(f"{name:<28}{change:8.3f} HU")
    return importance


def _count(text: str) -> BlockCount:
    numbers = [int(number) for number in text.split(",") if number.isdecimal()]
    if not text.replace(",", "", 1).isdecimal() or len(numbers) not in (1, 2):
        raise argparse.ArgumentTypeError(f"{text} is neither a number of blocks nor a pair DOWN,UP")
    return numbers[0] if len(numbers) == 1 else numbers


if __name__ == "__main__":
    main()
