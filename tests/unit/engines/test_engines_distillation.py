"""A student is compared with its teacher, both with the same share of noise given back."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from med_stylesr.engines.distillation import Distillation


class Teacher(nn.Module):
    """Takes half of everything away, whatever style it is asked for, at twice the size if it is asked for that."""

    def __init__(self) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(0.5))
        self.dropout = nn.Dropout(0.9)

    def forward(self, image: Tensor, style: Tensor, scale: list[int]) -> Tensor:
        assert style.tolist() == [5, 5]
        centre = self.dropout(self.share * image[:, :1])
        return centre.repeat_interleave(scale[0], 2).repeat_interleave(scale[1], 3)


def batch(size: int, **more: Tensor) -> dict[str, Tensor]:
    image = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 40
    return {"image": image, "label": torch.zeros(2, 1, size, size), "style": torch.tensor([5, 5]), **more}


def test_the_label_is_what_the_teacher_makes_and_it_is_not_trained() -> None:
    teacher = Teacher()
    image, label, args, extra = Distillation(teacher, amp=False)(batch(16), "cpu")
    assert torch.equal(label[:, :, ::2, ::2], 0.5 * image[:, :1])
    assert not label.requires_grad
    assert not teacher.share.requires_grad
    assert args == ()
    assert extra["scale"] == [2, 2]


def test_the_teacher_gets_as_much_noise_back_as_the_student() -> None:
    given = batch(8)
    noisy, kept = given["image"][:, 1:2], torch.tensor([0.0, 0.25])
    image, label, _, _ = Distillation(Teacher(), amp=False)({**given, "noisy": noisy, "kept": kept}, "cpu")
    teachers = 0.5 * image[:, :1]
    assert torch.equal(label[0], teachers[0])
    assert torch.allclose(label[1], 0.75 * teachers[1] + 0.25 * noisy[1])


def test_a_student_like_its_teacher_has_nothing_to_learn_in_bfloat16_either() -> None:
    teacher = Teacher()
    _, full, _, _ = Distillation(teacher, amp=False)(batch(8), "cpu")
    _, half, _, _ = Distillation(teacher, amp=True)(batch(8), "cpu")
    assert half.dtype == torch.float32
    assert torch.allclose(full, half, atol=0.5)
