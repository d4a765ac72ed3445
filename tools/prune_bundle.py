r"""Make a smaller bundle of a trained one by taking away whole blocks; it is to be fine-tuned after that.

    python tools/prune_bundle.py MINE MINE_FAST --scan SCAN --num-blocks 1 1 0
    med-stylesr train MINE_FAST --overlay MINE_FAST/configs/finetune.json --data SCANS --run-dir runs/fast

SCAN is a low-dose DICOM series or volume; which blocks matter is measured on some of its slices. The new bundle is the
old one with other `num_blocks` in its configs and what is left of the weights; its pages still tell of the old, and the
table of normal-dose noise, which holds for the old weights only, is left out.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch

from med_stylesr.inference.bundle import load_bundle
from med_stylesr.inference.normal_dose import FILE
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.source import find_inputs
from med_stylesr.io.volume_file import read_volume_file
from med_stylesr.networks.pruning import block_importance, prune
from med_stylesr.networks.trunk import BlockCount

SLICES = 4


def main() -> None:
    """Measure, prune, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("out", type=Path)
    parser.add_argument("--scan", type=Path, required=True)
    parser.add_argument("--num-blocks", type=_count, nargs="+", required=True, help="per level; a pair as DOWN,UP")
    arguments = parser.parse_args()
    if arguments.out.exists():
        parser.error(f"{arguments.out} exists; choose another place")
    loaded = load_bundle(arguments.bundle, torch.device("cpu"))
    if loaded.network.spatial_dims != 2:
        parser.error("only 2D bundles are pruned by this tool")
    with find_inputs(arguments.scan) as inputs:
        volume = read_volume(inputs.series[0]) if inputs.series else read_volume_file(inputs.volumes[0].path)
    reach = loaded.network.centre
    step = max(1, (len(volume.hu) - 2 * reach) // SLICES)
    middle = range(reach, len(volume.hu) - reach, step)
    images = [torch.from_numpy(volume.hu[k - reach : k + reach + 1]).float()[None] for k in middle]
    importance = block_importance(loaded.network, images, loaded.network.scales[0])
    for name, change in importance.items():
        print(f"{name:<28}{change:8.3f} HU")
    try:
        pruned = prune(loaded.network, importance, arguments.num_blocks)
    except ValueError as error:
        parser.error(str(error))
    shutil.copytree(loaded.path, arguments.out, ignore=shutil.ignore_patterns("runs", "*.pt", FILE.name))
    for path in (arguments.out / "configs").glob("*.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        if "num_blocks" in config:
            config["num_blocks"] = arguments.num_blocks
            path.write_text(json.dumps(config, indent=4) + "\n", encoding="utf-8")
    (arguments.out / "models").mkdir(exist_ok=True)
    torch.save(pruned.state_dict(), arguments.out / "models" / "model.pt")


def _count(text: str) -> BlockCount:
    numbers = [int(number) for number in text.split(",") if number.isdecimal()]
    if not text.replace(",", "", 1).isdecimal() or len(numbers) not in (1, 2):
        raise argparse.ArgumentTypeError(f"{text} is neither a number of blocks nor a pair DOWN,UP")
    return numbers[0] if len(numbers) == 1 else numbers


if __name__ == "__main__":
    main()
