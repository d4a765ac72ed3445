"""Progressive growing: the right head at the right epoch, nothing lost at the switch, and an exact resume across it."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import torch
from ignite.engine import Events
from ignite.handlers import EMAHandler
from monai.data import DataLoader

from med_stylesr.engines.checkpoint import BestWeights, ResumePoint
from med_stylesr.engines.growth import ScaleGrowth
from med_stylesr.engines.paired import PairedGanTrainer
from med_stylesr.engines.phantoms import PhantomPairs
from med_stylesr.engines.seeding import EpochSeed
from med_stylesr.errors import UsageError
from med_stylesr.losses.pixel import PixelLoss
from med_stylesr.networks.generator import StyleSRGenerator

SCALES = [[2, 2], [4, 4]]


def generator() -> StyleSRGenerator:
    return StyleSRGenerator(
        spatial_dims=2, in_channels=1, features=[4], num_blocks=[1], scale=[1, 1], extra_scales=SCALES, style_dim=4
    )


def build(
    folder: pathlib.Path, stop: int, resume: bool = False
) -> tuple[PairedGanTrainer, StyleSRGenerator, ScaleGrowth]:
    """A run whose second head begins in epoch 3."""
    torch.manual_seed(0)
    network = generator()
    data = PhantomPairs(2, 4, [8, 8], [4, 4], 1, [0.25, 0.25], 10.0, 0.6, seed=1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=0.1)
    ema = EMAHandler(network, momentum=0.1)
    best = BestWeights(str(folder / "model.pt"), network, "psnr", larger_is_better=True)
    growth = ScaleGrowth([network, ema.ema_model], SCALES, [2, 2], best)
    parts = {"network": network, "ema": ema.ema_model, "optimizer": optimizer, "best": best}
    trainer = PairedGanTrainer(
        device=torch.device("cpu"),
        max_epochs=stop,
        train_data_loader=DataLoader(data, batch_size=2, shuffle=True, num_workers=0),
        network=network,
        optimizer=optimizer,
        loss_function=PixelLoss("l1", 100.0),
        max_norm=1.0,
        prepare_batch=growth.prepare_batch,
        train_handlers=[EpochSeed(7, data), ema, growth, ResumePoint(str(folder / "last.pt"), parts, 1, resume)],
        decollate=False,
    )
    return trainer, network, growth


def test_each_stage_trains_its_head_alone_and_the_switch_touches_nothing_else(tmp_path: pathlib.Path) -> None:
    trainer, network, growth = build(tmp_path, stop=4)
    seen: list[tuple[int, ...]] = []
    states: dict[tuple[int, str], dict[str, torch.Tensor]] = {}

    def keep(when: str) -> None:
        states[trainer.state.epoch, when] = {name: value.clone() for name, value in network.state_dict().items()}

    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: seen.append(trainer.state.output["pred"].shape[2:]))
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda: keep("start"))
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: keep("end"))
    growth.best.best = 30.0
    trainer.run()
    assert seen == [(16, 16)] * 4 + [(32, 32)] * 4
    assert trainer.state.output["label"].shape[2:] == (32, 32)
    assert torch.equal(states[1, "start"]["tails.2.weight"], states[2, "end"]["tails.2.weight"])
    switched = {name for name, value in states[3, "start"].items() if not torch.equal(value, states[2, "end"][name])}
    assert switched == {"tails.2.weight", "tails.2.bias"}
    assert torch.equal(states[3, "start"]["tails.1.weight"], states[4, "end"]["tails.1.weight"])
    assert growth.best.best == -float("inf"), "figures on the coarser grid must not keep later weights from being kept"


def test_resume_before_and_after_the_switch_takes_the_identical_steps(tmp_path: pathlib.Path) -> None:
    straight, whole, _ = build(tmp_path / "whole", stop=4)
    straight.run()
    build(tmp_path / "parts", stop=2)[0].run()
    build(tmp_path / "parts", stop=3, resume=True)[0].run()
    last, resumed, _ = build(tmp_path / "parts", stop=4, resume=True)
    last.run()
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_labels_are_averaged_to_the_grid_of_the_stage_also_for_whole_volumes() -> None:
    growth = ScaleGrowth([generator()], SCALES, [1, 1], None)
    batch: dict[str, Any] = {"image": torch.zeros(1, 1, 5, 2, 2), "label": torch.rand(1, 1, 5, 8, 8)}
    assert growth.prepare_batch(batch, "cpu")[1].shape == (1, 1, 5, 8, 8)
    growth.stage = 0
    _, label, _, extra = growth.prepare_batch(batch, "cpu")
    assert extra == {"scale": [2, 2]}
    torch.testing.assert_close(label, batch["label"].reshape(1, 1, 5, 4, 2, 4, 2).mean((4, 6)))


@pytest.mark.parametrize(
    ("scales", "epochs", "why"),
    [([[2, 2], [3, 3]], [1, 1], "does not grow"), (SCALES, [1], "epochs per scale"), ([[8, 8]], [1], "no head")],
)
def test_plans_that_cannot_be_followed_are_refused(scales: list[list[int]], epochs: list[int], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        ScaleGrowth([generator()], scales, epochs, None)
