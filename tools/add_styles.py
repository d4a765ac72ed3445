"""Add styles to the bank of a checkpoint; each starts as a copy of one that is there, and training tells them apart.

    python tools/add_styles.py runs/2d_texture/last.pt runs/2d_texture/with_noise_free.pt noise-free=smooth \
        --bank normal-dose,smooth,as-is,soft,sharp

The result is for `pretrained=` of a training configuration that names the styles in the same order.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from med_stylesr.engines.checkpoint import write_state

BANK = "style_bank"


def main() -> None:
    """Run as a command; see --help."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="last.pt of a run, or weights of a bundle")
    parser.add_argument("out", type=Path)
    parser.add_argument("new", nargs="+", help="NAME=LIKE")
    parser.add_argument("--bank", required=True, help="names of the styles in the checkpoint, in their order")
    asked = parser.parse_args()
    bank = asked.bank.split(",")
    state = torch.load(asked.checkpoint, map_location="cpu", weights_only=True)
    weights = dict(state.get("ema", state))
    rows = weights[BANK]
    if len(rows) != len(bank):
        parser.error(f"{asked.checkpoint} has {len(rows)} styles, --bank names {len(bank)}")
    like = [bank.index(one.partition("=")[2]) for one in asked.new]
    weights[BANK] = torch.cat([rows, rows[like]])
    write_state({"model": weights}, asked.out)
    print(f"{asked.out}: {', '.join([*bank, *(one.partition('=')[0] for one in asked.new)])}")


if __name__ == "__main__":
    main()
