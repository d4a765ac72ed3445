"""Grey values on the screen mean the HU they should."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from med_stylesr.hu import WINDOWS
from med_stylesr.report.display import CODE_HU, data_uri, to_codes, windowed


def test_window_ends_are_black_and_white():
    window = WINDOWS["soft tissue"]
    hu = np.array([window.low - 500, window.low, window.center - 1, window.high, np.nan])
    assert windowed(hu, window).tolist() == [0, 0, 127, 255, 0]


def test_codes_fit_a_byte_and_decode_to_within_their_stated_error():
    assert len(CODE_HU) <= 256
    assert (np.diff(CODE_HU) > 0).all()
    hu = np.arange(-1024, 1376)
    error = np.abs(CODE_HU[to_codes(hu)] - hu)
    assert error[(hu > -150) & (hu < 250)].max() <= 2
    assert error[hu < -150].max() <= 5
    assert error.max() <= 13


def test_codes_of_padding_and_metal_saturate():
    assert CODE_HU[to_codes(np.array([-3024, 9000, np.nan]))].tolist() == [-1024, 1375, -1024]


@pytest.mark.parametrize("shape", [(7, 9), (7, 9, 3)])
def test_images_inside_a_page_are_lossless(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    kind, content = data_uri(image).split(",")
    assert kind == "data:image/png;base64"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(content)))), image)
