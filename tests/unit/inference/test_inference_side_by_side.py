"""Slices side by side are the slices one after the other, and leave torch's threads as they were."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from med_stylesr.inference.model_cache import CachedModels
from med_stylesr.inference.runtime import FLOAT32
from med_stylesr.inference.runtime_openvino import OpenVINORuntime
from med_stylesr.inference.side_by_side import MOST_LANES, Lanes, lanes_for
from med_stylesr.inference.slices import ArraySlices, InPlane
from med_stylesr.networks.generator import StyleSRGenerator


@pytest.fixture
def torch_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 3])
def test_results_keep_the_order_of_the_items(count: int) -> None:
    assert Lanes(count).map(lambda n: n * n, iter(range(40))) == [n * n for n in range(40)]


def test_work_is_done_at_the_same_time() -> None:
    together = threading.Barrier(2, timeout=20)
    assert sorted(Lanes(2).map(lambda _: together.wait(), range(2))) == [0, 1]


def test_an_error_of_one_item_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        Lanes(2).map(lambda n: 1 // n, [2, 1, 0])


@pytest.mark.usefixtures("torch_threads")
def test_lanes_share_the_threads_and_nobody_else_loses_any() -> None:
    torch.set_num_threads(4)
    assert Lanes(2).map(lambda _: torch.get_num_threads(), range(6)) == [2] * 6
    seen: list[int] = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert (torch.get_num_threads(), seen) == (4, [4])


def test_lanes_never_outnumber_threads_or_what_caches_hold() -> None:
    assert [lanes_for(n) for n in (0, 1, 2, 64)] == [1, 1, 2, MOST_LANES]


@pytest.mark.usefixtures("torch_threads")
def test_openvino_gives_the_same_bits_however_many_slices_it_runs_at_once(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = StyleSRGenerator(2, 3, [8, 8], [1, 1], [1, 1], 4, extra_scales=[[2, 2]]).eval()
    for tail in network.tails:
        torch.nn.init.normal_(tail.weight, std=0.05)
    hu = np.random.default_rng(0).normal(40, 30, (9, 64, 48)).astype(np.float32)
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        runtime = OpenVINORuntime(network, FLOAT32, CachedModels(b"lanes", root=tmp_path))
        assert runtime.lanes.count == threads
        code = runtime.style_code("smooth")
        # One scale after the other and back: requests of both are kept apart.
        stages = [InPlane(ArraySlices(hu), runtime, code, 1.0, scale) for scale in ((1, 1), (2, 2), (1, 1))]
        results.append([stage.read(0, 9) for stage in stages])
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)
    assert np.abs(results[0][0] - hu).max() > 1
