"""Pictures of the validation: three images side by side, in files and in TensorBoard."""

from __future__ import annotations

import pathlib

import torch
from ignite.engine import Engine
from matplotlib.image import imread
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from med_stylesr.engines.pictures import PictureLog


def test_a_picture_shows_input_prediction_and_target_in_the_window(tmp_path: pathlib.Path) -> None:
    output = {
        "image": torch.full((1, 1, 4, 5), -160.0),  # a coarser grid: super-resolution
        "pred": torch.full((1, 1, 8, 10), 40.0),
        "label": torch.full((1, 1, 8, 10), 240.0),
    }
    evaluator = Engine(lambda engine, batch: output)
    PictureLog(str(tmp_path / "pictures"), str(tmp_path / "log"), -160.0, 240.0).attach(evaluator)
    evaluator.run([0], max_epochs=1)
    shown = imread(tmp_path / "pictures" / "epoch_0001.png")[..., 0]
    assert shown.shape == (8, 30)
    assert [round(float(shown[:, k : k + 10].mean()), 2) for k in (0, 10, 20)] == [0.0, 0.5, 1.0]
    log = EventAccumulator(str(tmp_path / "log"))
    log.Reload()
    assert len(log.Images("low dose, prediction, normal dose")) == 1
