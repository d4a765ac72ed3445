"""What is trained for the benchmark: every network with its losses, all on the same pairs, for the same CPU time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from benchmarks.peers.du_gan import DuGanGenerator
from benchmarks.peers.red_cnn import RedCNN
from benchmarks.peers.sr_resnet import SRResNet
from benchmarks.peers.wgan_vgg import WganVggCritic, WganVggGenerator
from torch import Tensor, nn

from med_stylesr.engines.adversary import Adversary
from med_stylesr.losses.adversarial import AdversarialLoss, GradientPenalty
from med_stylesr.losses.composite import CompositeLoss
from med_stylesr.losses.gradient import GradientMagnitude
from med_stylesr.losses.perceptual import PerceptualLoss
from med_stylesr.losses.pixel import PixelLoss
from med_stylesr.losses.window import WindowScale
from med_stylesr.networks.discriminator import UNetDiscriminator
from med_stylesr.networks.features import SliceFeatures, shipped_encoder

REPOSITORY: Final = Path(__file__).resolve().parents[2]
TRAIN_CONFIG: Final = REPOSITORY / "bundles" / "ldct_stylesr_2d" / "configs" / "train.json"
PATCH: Final = 64
BUDGET_MINUTES: Final = 5.0
"""CPU minutes of one core for every network of the comparison."""
ABLATION_MINUTES: Final = 2.5
"""CPU minutes of one core for every network of the ablation."""
ADVERSARY_START: Final = 300
"""Thousandth of the budget from which discriminators take part; fidelity alone before, or nothing would be learned."""
ADVERSARY_RAMP: Final = 100
"""Thousandths of the budget over which their weight rises."""


@dataclass
class Parts:
    """What one training run moves: built anew for every run.

    Attributes:
        network: HU in, HU out; called with `style` and `scale` too if `styled`.
        loss: on HU images, giving (B,).
        adversaries: discriminators; their timetable counts thousandths of the budget.
        styled: whether the network is told the style and the scale.
    """

    network: nn.Module
    loss: nn.Module
    adversaries: list[Adversary] = field(default_factory=list)
    styled: bool = False


@dataclass(frozen=True)
class Recipe:
    """One network of the benchmark.

    Attributes:
        build: makes its parts.
        learning_rate: peak, of AdamW.
        minutes: CPU time.
        slices: slices of context.
        scales: in-plane factors, one drawn per batch.
        styles: names of the style bank; a target is drawn from `trained` for every sample.
        trained: see `styles`.
        batch: samples.
    """

    build: Callable[[], Parts]
    learning_rate: float
    minutes: float = BUDGET_MINUTES
    slices: int = 1
    scales: Sequence[Sequence[int]] = ((1, 1),)
    styles: Sequence[str] = ("smooth",)
    trained: Sequence[str] = ("smooth",)
    batch: int = 8


def _squared_error() -> nn.Module:
    return PixelLoss("mse", scale_hu=20.0)


class _Sum(nn.Module):
    """Weighted sum of losses."""

    def __init__(self, terms: Mapping[nn.Module, float]) -> None:
        super().__init__()
        self.terms, self.factors = nn.ModuleList(terms), list(terms.values())

    def forward(self, pred: Tensor, label: Tensor) -> Tensor:
        return torch.stack([w * term(pred, label) for term, w in zip(self.terms, self.factors, strict=True)]).sum(0)


class _GradientL1(nn.Module):
    """Mean absolute difference of Sobel magnitudes (DU-GAN's gradient loss)."""

    def __init__(self) -> None:
        super().__init__()
        self.magnitude = GradientMagnitude(2, (1.0, 1.0), center=0.0, width=800.0, epsilon=0.01)

    def forward(self, pred: Tensor, label: Tensor) -> Tensor:
        return (self.magnitude(pred) - self.magnitude(label)).abs().flatten(1).mean(1)


def _adversary(name: str, critic: nn.Module, view: nn.Module, weight: float, **changes: Any) -> Adversary:
    settings: dict[str, Any] = {
        "loss": AdversarialLoss("lsgan"),
        "penalty": None,
        "penalty_weight": 0.0,
        "styles": ["smooth"],
        "optimizer": torch.optim.Adam(critic.parameters(), lr=2e-4, betas=(0.5, 0.99)),
    }
    return Adversary(
        name=name,
        discriminator=critic,
        view=view,
        weight=weight,
        start_iteration=ADVERSARY_START,
        ramp_iterations=ADVERSARY_RAMP,
        steps=1,
        penalty_interval=1,
        clip_weights=None,
        max_norm=10.0,
        **(settings | changes),
    )


def red_cnn() -> Parts:
    """Squared error, as in the paper."""
    return Parts(RedCNN(), _squared_error())


def wgan_vgg() -> Parts:
    """Wasserstein critic with gradient penalty, and perceptual loss."""
    encoder = shipped_encoder()
    adversary = _adversary(
        "image",
        WganVggCritic(PATCH),
        WindowScale(40.0, 400.0, "tanh"),
        weight=0.05,
        loss=AdversarialLoss("wasserstein"),
        penalty=GradientPenalty(),
        penalty_weight=10.0,
    )
    perceptual = PerceptualLoss(encoder, [1.0] * _maps(encoder))
    return Parts(WganVggGenerator(), _Sum({_squared_error(): 0.2, perceptual: 1.0}), [adversary])


def _maps(encoder: SliceFeatures) -> int:
    """Feature maps that an encoder gives."""
    with torch.inference_mode():
        return len(encoder(torch.zeros(1, 1, PATCH, PATCH)))


def _u_shaped(styles: Sequence[str], domains: Sequence[str] = ("image", "edges")) -> list[Adversary]:
    """Least-squares U-shaped discriminators of the image and of its gradient."""
    views = {
        "image": WindowScale(0.0, 800.0, "tanh"),
        "edges": GradientMagnitude(2, (1.0, 1.0), center=0.0, width=800.0, epsilon=0.01),
    }
    return [
        _adversary(
            name, UNetDiscriminator(2, 1, [16, 32, 64], [2, 2], True), views[name], weight=0.05, styles=list(styles)
        )
        for name in domains
    ]


def du_gan() -> Parts:
    """Squared error, L1 on Sobel magnitudes, discriminators of image and gradient."""
    return Parts(DuGanGenerator(), _Sum({_squared_error(): 0.5, _GradientL1(): 10.0}), _u_shaped(["smooth"]))


def sr_resnet() -> Parts:
    """Squared error, as in the paper."""
    return Parts(SRResNet(), _squared_error())


def ours(**changes: Any) -> Parts:
    """The shipped architecture with the losses of the bundle's training config, without adversaries.

    Args:
        changes: further entries of that config, by key.
    """
    from monai.bundle.config_parser import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(TRAIN_CONFIG))
    parser.update({"device": torch.device("cpu"), "styles": list(OUR_STYLES), **changes})
    network = parser.get_parsed_content("network_def")
    loss = parser.get_parsed_content("loss")
    assert isinstance(network, nn.Module)
    assert isinstance(loss, CompositeLoss)
    return Parts(network, loss, styled=True)


def without_lock() -> Parts:
    """Ours with the correction of the network as it is."""

    class Unlocked(nn.Module):
        def forward(self, correction: Tensor, image: Tensor, inside: Tensor, stride: list[int]) -> Tensor:
            return correction

    parts = ours()
    parts.network.lock = Unlocked()
    return parts


def without_style() -> Parts:
    """Ours, not told which target is wanted."""
    parts = ours()
    parts.styled = False
    return parts


def with_adversaries(*domains: str) -> Parts:
    """Ours with discriminators in these domains."""
    parts = ours()
    parts.adversaries = _u_shaped(OUR_STYLES, domains)
    return parts


OUR_STYLES: Final = ("normal-dose", "smooth")


def _ablated(build: Callable[[], Parts], slices: int = 3) -> Recipe:
    return Recipe(build, 1e-3, ABLATION_MINUTES, slices, styles=OUR_STYLES, trained=OUR_STYLES)


RECIPES: Final = {
    "ours-equal": Recipe(ours, 1e-3, slices=3, styles=OUR_STYLES),
    "red-cnn": Recipe(red_cnn, 5e-4, batch=4),
    "sr-resnet": Recipe(sr_resnet, 5e-4, scales=((2, 2),), batch=4),
    "du-gan": Recipe(du_gan, 5e-4),
    "wgan-vgg": Recipe(wgan_vgg, 1e-3),
    "ours-equal-x2": Recipe(ours, 1e-3, slices=3, styles=OUR_STYLES, scales=((2, 2),)),
    "ablation-full": _ablated(ours),
    "ablation-no-edge": _ablated(lambda: ours(**{"loss#weights#edge": 0.0})),
    "ablation-no-lock": _ablated(without_lock),
    "ablation-no-style": _ablated(without_style),
    "ablation-no-context": _ablated(lambda: ours(in_channels=1), slices=1),
    "ablation-adversaries": _ablated(lambda: with_adversaries("image", "edges")),
    "ablation-adversary-of-image-alone": _ablated(lambda: with_adversaries("image")),
}
"""Every network that is trained for the benchmark, in the order of training."""
