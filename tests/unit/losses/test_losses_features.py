"""Perceptual, Gram and spectrum losses: what they see and what they must not see."""

from __future__ import annotations

import pathlib

import pytest
import torch

from med_stylesr.errors import InputError, UsageError
from med_stylesr.losses.frequency import NoiseSpectrumLoss, RadialSpectrum
from med_stylesr.losses.perceptual import GramStyleLoss, PerceptualLoss, gram
from med_stylesr.networks.features import CTAutoencoder, CTEncoder, SliceFeatures, VGG19Features, trained_encoder

WINDOW = (40.0, 400.0)


def test_gram_matrix_of_permuted_positions_is_equal() -> None:
    features = torch.randn(2, 5, 6, 7)
    shuffled = features.flatten(2)[:, :, torch.randperm(42)].reshape(2, 5, 6, 7)
    torch.testing.assert_close(gram(features), gram(shuffled))


def test_equal_images_cost_nothing_and_the_extractor_is_frozen() -> None:
    encoder = CTEncoder(2, [4, 8], WINDOW)
    image = 60 * torch.randn(2, 1, 16, 16)
    for loss in (PerceptualLoss(encoder, [1.0, 0.5]), GramStyleLoss(encoder, [1.0, 1.0])):
        assert loss(image, image).abs().max() == 0
        pred = (image + 30).requires_grad_(True)
        loss(pred, image).sum().backward()
        assert pred.grad is not None
        assert pred.grad.abs().sum() > 0
        assert all(p.grad is None for p in encoder.parameters())


def test_one_weight_per_feature_map_is_required() -> None:
    with pytest.raises(UsageError, match="layer weights"):
        PerceptualLoss(CTEncoder(2, [4, 8], WINDOW), [1.0])(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8))


def test_spectrum_of_white_noise_is_its_variance_in_every_ring() -> None:
    torch.manual_seed(0)
    noise = 20 * torch.randn(64, 1, 64, 64)
    power = RadialSpectrum(8)(noise).mean((0, 1))
    torch.testing.assert_close(power[1:], torch.full((7,), 400.0), rtol=0.06, atol=0)
    torch.testing.assert_close(RadialSpectrum(8)(noise), RadialSpectrum(8)(noise.transpose(2, 3)), rtol=1e-4, atol=0)


def test_spectrum_loss_sees_texture_but_not_places() -> None:
    torch.manual_seed(0)
    loss = NoiseSpectrumLoss(8, 1, -160, 240, 1.0)
    one, other = (20 * torch.randn(1, 1, 128, 128) for _ in range(2))
    smooth = torch.nn.functional.avg_pool2d(one, 3, 1, 1)
    assert loss(one, one).item() == 0
    assert loss(other, one) < 0.2 * loss(smooth, one)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_autoencoder_keeps_the_size_and_its_encoder_can_be_loaded(spatial_dims: int, tmp_path: pathlib.Path) -> None:
    network = CTAutoencoder(spatial_dims, [4, 6, 8], WINDOW, hidden_share=0.5, cell=4)
    image = torch.randn([1, 1] + [13] * spatial_dims)
    assert network(image).shape == image.shape
    torch.save(network.state_dict(), tmp_path / "encoder.pt")
    encoder = trained_encoder(str(tmp_path / "encoder.pt"), spatial_dims, [4, 6, 8], WINDOW)
    torch.testing.assert_close(encoder(image)[-1], network.encoder(image)[-1])


def test_cells_are_hidden_in_training_only_and_through_all_slices_of_a_slab() -> None:
    torch.manual_seed(0)
    for dims in (2, 3):
        network = CTAutoencoder(dims, [4, 6], WINDOW, hidden_share=0.5, cell=4)
        seen: list[torch.Tensor] = []
        network.encoder.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
        image = torch.full([1, 1] + [16] * dims, 50.0)
        network(image)
        network.eval()(image)
        hidden, whole = seen
        assert set(hidden.unique().tolist()) == {-160.0, 50.0}
        cells = hidden.reshape(-1, 16, 16)[0].reshape(4, 4, 4, 4)
        assert (cells.amin((1, 3)) == cells.amax((1, 3))).all()
        assert (hidden.reshape(-1, 16, 16) == hidden.reshape(-1, 16, 16)[0]).all()
        assert torch.equal(whole, image)


def test_slices_of_a_slab_have_the_features_that_each_has_alone() -> None:
    encoder = SliceFeatures(CTEncoder(2, [4, 8], WINDOW))
    slab = 60 * torch.randn(2, 1, 3, 16, 16)
    for level, maps in enumerate(encoder(slab)):
        torch.testing.assert_close(maps[:, :, 1], encoder(slab[:, :, 1])[level])


def test_vgg_takes_torchvision_keys_from_a_local_file(tmp_path: pathlib.Path) -> None:
    state = {
        "features.0.weight": torch.randn(64, 3, 3, 3),
        "features.0.bias": torch.zeros(64),
        "classifier.0.bias": torch.zeros(2),
    }
    torch.save(state, tmp_path / "vgg.pt")
    maps = VGG19Features(str(tmp_path / "vgg.pt"), [0], WINDOW)(torch.zeros(1, 1, 8, 8))
    assert [list(m.shape) for m in maps] == [[1, 64, 8, 8]]
    with pytest.raises(InputError, match="no weights file"):
        VGG19Features(str(tmp_path / "absent.pt"), [0], WINDOW)
    with pytest.raises(InputError, match="do not fit"):
        VGG19Features(str(tmp_path / "vgg.pt"), [2], WINDOW)
