"""The learning rate falls along half a cosine, never rises, and follows the configuration on resume."""

from __future__ import annotations

import itertools

import pytest
import torch

from med_stylesr.engines.schedule import CosineDecay


def rates(schedule: CosineDecay, count: int) -> list[float]:
    found = []
    for _ in range(count):
        found.append(schedule.get_last_lr()[0])
        schedule.optimizer.step()
        schedule.step()
    return found


def make(epochs: int) -> CosineDecay:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    return CosineDecay(optimizer, T_max=epochs, eta_min=0.1)


def test_rate_falls_to_the_last_one_and_stays_there() -> None:
    found = rates(make(10), 16)
    assert found[0] == 1.0
    assert found[5] == pytest.approx(0.55)
    assert found[10:] == pytest.approx([0.1] * 6)
    assert all(a >= b for a, b in itertools.pairwise(found))


def test_a_resumed_run_goes_on_and_a_longer_one_follows_its_own_length() -> None:
    whole = rates(make(10), 10)
    first = make(10)
    rates(first, 4)
    state = first.state_dict()
    same, longer = make(10), make(20)
    for schedule in (same, longer):
        schedule.load_state_dict(state)
        assert schedule.optimizer.param_groups[0]["lr"] == schedule.get_lr()[0]
    assert rates(same, 6)[1:] == pytest.approx(whole[5:])
    assert longer.optimizer.param_groups[0]["lr"] == pytest.approx(rates(make(20), 5)[4])
