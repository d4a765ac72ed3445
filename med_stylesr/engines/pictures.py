"""Pictures of the validation, low dose, prediction and normal dose side by side, as PNG and in TensorBoard."""

from __future__ import annotations

import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from ignite.engine import Engine, Events
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter


class PictureLog:
    """Shows the middle slice of the last validated image after every validation.

    Args:
        folder: gets `epoch_NNNN.png`.
        log_dir: TensorBoard's folder.
        low_hu: shown black.
        high_hu: shown white.
        enabled: False in all but one process of distributed training.
    """

    def __init__(self, folder: str, log_dir: str, low_hu: float, high_hu: float, enabled: bool = True) -> None:
        self.folder, self.log_dir = pathlib.Path(folder), log_dir
        self.low_hu, self.high_hu, self.enabled = low_hu, high_hu, enabled

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        if self.enabled:
            engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the picture."""
        from matplotlib.image import imsave

        output = engine.state.output[0] if isinstance(engine.state.output, list) else engine.state.output
        slices = [_middle(torch.as_tensor(output[key])) for key in ("image", "pred", "label")]
        size = slices[2].shape
        row = torch.cat([F.interpolate(x[None, None], size=size, mode="nearest")[0, 0] for x in slices], 1)
        unit = ((row - self.low_hu) / (self.high_hu - self.low_hu)).clamp(0, 1)
        self.folder.mkdir(parents=True, exist_ok=True)
        gray = np.repeat((255 * unit).round().byte().numpy()[..., None], 3, axis=2)
        imsave(self.folder / f"epoch_{engine.state.epoch:04d}.png", gray)
        with SummaryWriter(self.log_dir) as writer:
            writer.add_image("low dose, prediction, normal dose", unit[None], engine.state.epoch)


def _middle(image: Tensor) -> Tensor:
    """The middle slice of a volume, or the centre channel of a slice with context, float32 on the CPU."""
    plain = image.as_subclass(Tensor).detach().float().cpu()
    while plain.dim() > 2:
        plain = plain[plain.shape[0] // 2]
    return plain
