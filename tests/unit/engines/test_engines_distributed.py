"""Two processes with half the batch each take the same first step as one process with the whole batch."""

from __future__ import annotations

import multiprocessing
import pathlib

import torch
from monai.data import DataLoader, Dataset
from torch.nn.parallel import DistributedDataParallel

from med_stylesr.engines.adversary import Adversary
from med_stylesr.engines.distributed import unwrap
from med_stylesr.engines.paired import PairedGanTrainer
from med_stylesr.losses.adversarial import AdversarialLoss
from med_stylesr.losses.composite import CompositeLoss
from med_stylesr.losses.pixel import PixelLoss
from med_stylesr.losses.window import WindowScale
from med_stylesr.networks.discriminator import PatchDiscriminator


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image + self.layer(image / 1000)


def first_step(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network: torch.nn.Module = Net()
    judge: torch.nn.Module = PatchDiscriminator(2, 1, [4], [2, 2], False)
    items = [{"image": 50 * torch.randn(1, 12, 12), "label": 50 * torch.randn(1, 12, 12)} for _ in range(4)]
    if world > 1:
        torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=world)
        network, judge = DistributedDataParallel(network), DistributedDataParallel(judge)
    adversary = Adversary(
        "image", judge, torch.optim.SGD(judge.parameters(), lr=0.1), AdversarialLoss("lsgan"),
        WindowScale(0, 400, "tanh"), 0.5, [], start_iteration=1, ramp_iterations=0, steps=1, penalty=None,
        penalty_weight=0.0, penalty_interval=1, clip_weights=None, max_norm=100.0,
    )  # fmt: skip
    PairedGanTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=DataLoader(Dataset(items[rank::world]), batch_size=4 // world, num_workers=0),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        loss_function=CompositeLoss({"mse": PixelLoss("mse", 50.0)}, {"mse": 1.0}, []),
        adversaries=[adversary],
        max_norm=100.0,
        decollate=False,
    ).run()
    if rank == 0:
        torch.save([unwrap(network).state_dict(), unwrap(judge).state_dict()], f"{folder}/{world}.pt")
    if world > 1:
        torch.distributed.destroy_process_group()


def test_two_half_batches_make_the_update_of_one_whole_batch(tmp_path: pathlib.Path) -> None:
    first_step(0, 1, str(tmp_path))
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=first_step, args=(rank, 2, str(tmp_path))) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    whole, halves = (torch.load(tmp_path / f"{world}.pt", weights_only=True) for world in (1, 2))
    for one, other in zip(whole, halves, strict=True):
        for key in one:
            torch.testing.assert_close(one[key], other[key], rtol=1e-5, atol=1e-7)
