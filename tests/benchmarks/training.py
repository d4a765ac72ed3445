"""Training of the benchmark's networks: a fixed amount of CPU time each, resumable, one after the other.

    make benchmark-peers      (python -m benchmarks.training cache/train runs/peers)

The learning rate follows the share of the budget that is spent (cosine, short rise), so that each network ends its
schedule whatever its speed. Time is the CPU time of this process: other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from benchmarks.recipes import PATCH, RECIPES, Parts, Recipe
from torch import Tensor

from med_stylesr.engines.pair_batches import PairBatches
from med_stylesr.engines.paired import fidelity, prepare_scaled_pair

SEED: Final = 20261122
RISE: Final = 0.03
"""Share of the budget over which the learning rate rises."""
SAVE_EVERY_S: Final = 45.0
_STEPS: Final = 10**6
"""More than any budget allows."""
_MAX_NORM: Final = 5.0


def learning_rate(peak: float, spent: float) -> float:
    """Learning rate after a share `spent` (0 … 1) of the budget."""
    if spent < RISE:
        return peak * max(spent / RISE, 0.05)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, (spent - RISE) / (1 - RISE)))))


def train(recipe: Recipe, cache: Path, folder: Path) -> dict[str, Any]:
    """Train one network up to its budget, or go on where an interrupted run stopped.

    Args:
        recipe: what to train.
        cache: prepared training scans.
        folder: gets `last.pt` on the way and `model.pt`, `record.json` at the end.

    Returns:
        The record: CPU seconds, steps, mean loss of the last tenth.
    """
    record_file = folder / "record.json"
    if record_file.is_file():
        record: dict[str, Any] = json.loads(record_file.read_text())
        if record["minutes"] >= recipe.minutes:
            return record
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    parts = recipe.build()
    network = parts.network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4)
    batches = PairBatches(
        cache,
        _STEPS,
        SEED,
        batch_size=recipe.batch,
        patch=PATCH,
        slices=recipe.slices,
        scales=[list(s) for s in recipe.scales],
        styles=list(recipe.styles),
        trained_styles=list(recipe.trained),
        dose_range=(0.05, 1.0),
    )
    spent, step, losses = _resume(folder / "last.pt", parts, optimizer)
    budget, saved = recipe.minutes * 60, spent
    network.train()
    started = time.process_time() - spent
    while spent < budget:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe.learning_rate, spent / budget)
        losses.append(_step(parts, optimizer, batches[step], 1 + int(1000 * spent / budget)))
        step += 1
        spent = time.process_time() - started
        if spent - saved > SAVE_EVERY_S:
            saved = spent
            _save(folder / "last.pt", parts, optimizer, spent, step, losses)
            print(f"  {folder.name}: {spent / 60:.1f} min, {step} steps, loss {_recent(losses):.4f}", flush=True)
    torch.save(network.state_dict(), folder / "model.pt")
    record = {
        "minutes": recipe.minutes,
        "cpu_seconds": round(spent, 1),
        "steps": step,
        "loss": _recent(losses),
        "seed": SEED,
    }
    record_file.write_text(json.dumps(record, indent=1))
    (folder / "last.pt").unlink(missing_ok=True)
    return record


def _step(parts: Parts, optimizer: torch.optim.Optimizer, batch: dict[str, Any], thousandth: int) -> float:
    """One update of the generator, and of the discriminators that are active at this thousandth of the budget."""
    image, label, _, extra = prepare_scaled_pair(batch, "cpu")
    image = image.contiguous(memory_format=torch.channels_last)
    style = extra["style"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pred: Tensor = parts.network(image, **extra) if parts.styled else parts.network(image)
    pred = pred.float()
    active = [one for one in parts.adversaries if one.active(thousandth)]
    for one in active:
        one.learn(pred, label, style, thousandth, torch.autocast("cpu", dtype=torch.bfloat16))
    loss = fidelity(parts.loss, pred, label, style)[0].mean()
    total = loss
    for one in active:
        judged = one.judge(pred, label, style, thousandth, torch.autocast("cpu", dtype=torch.bfloat16))
        total = total + judged[0].mean()
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    torch.nn.utils.clip_grad_norm_(parts.network.parameters(), _MAX_NORM)
    optimizer.step()
    return float(loss.detach())


def _recent(losses: list[float]) -> float:
    last = losses[-max(1, len(losses) // 10) :]
    return sum(last) / len(last)


def _save(
    path: Path, parts: Parts, optimizer: torch.optim.Optimizer, spent: float, step: int, losses: list[float]
) -> None:
    state = {
        "network": parts.network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "adversaries": [one.state_dict() for one in parts.adversaries],
        "spent": spent,
        "step": step,
        "losses": losses,
    }
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def _resume(path: Path, parts: Parts, optimizer: torch.optim.Optimizer) -> tuple[float, int, list[float]]:
    if not path.is_file():
        return 0.0, 0, []
    state = torch.load(path, map_location="cpu", weights_only=True)
    parts.network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    for one, mine in zip(parts.adversaries, state["adversaries"], strict=True):
        one.load_state_dict(mine)
    return float(state["spent"]), int(state["step"]), list(state["losses"])


def main() -> None:
    """Train what is asked for, or everything that is not trained yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path, help="prepared training scans")
    parser.add_argument("runs", type=Path, help="where weights go, a folder a network")
    parser.add_argument("--minutes", type=float, help="CPU minutes of each, if less than the recipe asks for")
    parser.add_argument("--only", nargs="*", help="names of networks; all if left out")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.only or RECIPES:
        recipe = RECIPES[name]
        if arguments.minutes:
            recipe = replace(recipe, minutes=min(arguments.minutes, recipe.minutes))
        record = train(recipe, arguments.cache, arguments.runs / name)
        print(f"{name}: {json.dumps(record)}", flush=True)


if __name__ == "__main__":
    main()
