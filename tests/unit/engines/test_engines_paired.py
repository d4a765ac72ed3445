"""The paired trainer: two time scales, styles, the guard, and a resume that goes on bit for bit."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import torch
from ignite.engine import Events
from ignite.handlers import EMAHandler
from monai.data import DataLoader, Dataset
from monai.transforms import RandGaussianNoised

from med_stylesr.engines.adversary import Adversary
from med_stylesr.engines.checkpoint import ResumePoint
from med_stylesr.engines.guard import TrainingDivergedError
from med_stylesr.engines.paired import PairedGanTrainer
from med_stylesr.engines.seeding import EpochSeed
from med_stylesr.errors import UsageError
from med_stylesr.losses.adversarial import AdversarialLoss, GradientPenalty
from med_stylesr.losses.composite import CompositeLoss
from med_stylesr.losses.pixel import PixelLoss
from med_stylesr.losses.window import WindowScale

STYLES = ("normal-dose", "smooth")


class Net(torch.nn.Module):
    """The smallest network with the generator's interface: a bank of offsets and one convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.bank = torch.nn.Parameter(torch.zeros(2))
        self.layer = torch.nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, image: torch.Tensor, style: torch.Tensor | None = None) -> torch.Tensor:
        offset = self.bank[:1] if style is None else self.bank[style]
        return image + self.layer(image / 1000) + offset.reshape(-1, 1, 1, 1)


def build(
    adversarial: bool = False, handlers: tuple[Any, ...] = (), epochs: int = 2, **changes: Any
) -> tuple[PairedGanTrainer, dict[str, Any]]:
    torch.manual_seed(0)
    network, judge = Net(), torch.nn.Conv2d(1, 1, 3)
    torch.manual_seed(1)
    items = [
        {"image": 50 * torch.randn(1, 8, 8), "label": torch.zeros(1, 8, 8), "style": torch.tensor(k % 2)}
        for k in range(4)
    ]
    dataset = Dataset(items, RandGaussianNoised("image", prob=1.0, std=10.0))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    judge_optimizer = torch.optim.Adam(judge.parameters(), lr=1e-2)
    adversary = Adversary(
        "image",
        judge,
        judge_optimizer,
        AdversarialLoss("lsgan"),
        WindowScale(40, 400, "tanh"),
        {"normal-dose": 0.1},
        STYLES,
        start_iteration=2,
        ramp_iterations=2,
        steps=2,
        penalty=GradientPenalty(),
        penalty_weight=10.0,
        penalty_interval=1,
        clip_weights=0.5,
        max_norm=10.0,
    )
    ema = EMAHandler(network, momentum=0.1)
    trainer = PairedGanTrainer(
        **{
            "device": torch.device("cpu"),
            "max_epochs": epochs,
            "train_data_loader": DataLoader(dataset, batch_size=2, shuffle=True, num_workers=0),
            "network": network,
            "optimizer": optimizer,
            "loss_function": CompositeLoss({"l1": PixelLoss("l1", 100.0)}, {"l1": 1.0}, STYLES),
            "adversaries": [adversary] if adversarial else [],
            "max_norm": 1.0,
            "train_handlers": [EpochSeed(7, dataset), ema, *handlers],
            "decollate": False,
            **changes,
        }
    )
    parts = {"network": network, "ema": ema.ema_model, "optimizer": optimizer}
    return trainer, parts | {"adversary": adversary}


def test_fidelity_alone_trains_and_logs_every_term() -> None:
    trainer, parts = build(epochs=3)
    before = [p.detach().clone() for p in parts["network"].parameters()]
    trainer.run()
    assert set(trainer.state.metrics) == {"l1", "loss", "gradient"}
    assert all(not torch.equal(a, b) for a, b in zip(before, parts["network"].parameters(), strict=True))


def test_an_adversary_joins_at_its_iteration_and_is_logged_by_name() -> None:
    trainer, parts = build(adversarial=True, epochs=1)
    seen: list[set[str]] = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: seen.append(set(engine.state.terms)))
    trainer.run()
    assert "d_image" not in seen[0]
    assert {"d_image", "d_image_penalty", "d_image_gradient", "g_image", "loss", "l1"} <= seen[1]
    assert all(p.abs().max() <= 0.5 for p in parts["adversary"].discriminator.parameters())


def test_generator_step_leaves_the_discriminator_alone() -> None:
    trainer, _ = build(adversarial=True)
    adversary = trainer.adversaries[0]
    pred = torch.zeros(2, 1, 8, 8, requires_grad=True)
    weighted, plain = adversary.judge(pred, torch.zeros(2, 1, 8, 8), torch.tensor([0, 1]), 9, trainer.autocast())
    plain.sum().backward()
    assert pred.grad is not None
    assert all(p.grad is None for p in adversary.discriminator.parameters())
    assert weighted[1] == 0  # the second sample's style has no adversarial weight
    assert weighted[0] != 0


@pytest.mark.parametrize("amp", [False, True])
def test_resume_takes_the_identical_next_steps(tmp_path: pathlib.Path, amp: bool) -> None:
    straight, whole = build(adversarial=True, epochs=3, amp=amp)
    straight.run()

    first, parts = build(adversarial=True, epochs=2, amp=amp)
    ResumePoint(str(tmp_path / "last.pt"), parts, interval=1).attach(first)
    first.run()
    second, resumed = build(adversarial=True, epochs=3, amp=amp)
    ResumePoint(str(tmp_path / "last.pt"), resumed, interval=1, resume=True).attach(second)
    second.run()
    assert second.state.iteration == straight.state.iteration == 6
    pairs = [(whole[name], resumed[name]) for name in ("network", "ema")]
    pairs.append((whole["adversary"].discriminator, resumed["adversary"].discriminator))
    for one, other in pairs:
        for key, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[key]), key


def test_a_value_that_is_not_finite_stops_before_the_weights_are_touched() -> None:
    trainer, parts = build()
    before = [p.detach().clone() for p in parts["network"].parameters()]
    items = trainer.data_loader.dataset.data
    for item in items:
        item["label"] = torch.full((1, 8, 8), float("nan"))
    with pytest.raises(TrainingDivergedError, match=r"iteration 1: not finite: l1"):
        trainer.run()
    assert all(torch.equal(a, b) for a, b in zip(before, parts["network"].parameters(), strict=True))


def test_bfloat16_leaves_losses_and_output_in_float32() -> None:
    trainer, _ = build(adversarial=True, amp=True, epochs=1)
    trainer.run()
    assert trainer.state.output["pred"].dtype == torch.float32
    assert all(value.dtype == torch.float32 for value in trainer.state.terms.values())


def test_arguments_that_would_be_ignored_are_refused() -> None:
    with pytest.raises(UsageError, match="accumulation_steps"):
        build(accumulation_steps=2)
