"""Headers of any content, found by Hypothesis: a slice is read whole or refused in one line, and written if read."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hostile_dicom import spliced
from hypothesis import example, given, settings
from hypothesis import strategies as st
from phantoms import BODY, stack, write_series

from med_stylesr.errors import InputError, UsageError
from med_stylesr.io.derivation import SMOOTHING, Derivation
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.dicom_write import DerivedSeriesWriter
from med_stylesr.io.enhanced_write import EnhancedImageWriter
from med_stylesr.io.source import find_inputs

TAGS = st.sampled_from(
    sorted(
        {
            *(element.tag for element in pydicom.dcmread(os.fspath(Path(__file__).parents[1] / "data" / "lidc_idri_0001"
              / "quarter_dose" / "0001.dcm"), stop_before_pixels=True) if element.tag.group in (8, 16, 24, 32, 40)),
            *(0x00181100, 0x00189305, 0x00280008, 0x00280120, 0x00281052, 0x00281053, 0x00200037, 0x0020000E),
        }
    )
)  # fmt: skip
VRS = st.sampled_from(
    ["AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "TM", "UI", "US", "OB", "SQ", "UN"]
)
TEXT = st.text(max_size=70).map(lambda text: text.encode("utf-8", "replace"))
NUMBERS = st.lists(st.floats().map(repr) | st.integers().map(str), max_size=7).map(lambda n: "\\".join(n).encode())
VALUES = st.one_of(st.binary(max_size=80), TEXT, NUMBERS)
DERIVATION = Derivation(
    "Fuzzed", "test", "1", (SMOOTHING,), datetime(2026, 1, 1, tzinfo=timezone.utc), "fuzzed", 9000, 0
)


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=60, deadline=None)
@given(tag=TAGS, vr=VRS, value=VALUES, pad=st.booleans())
@example(tag=0x00180010, vr="SQ", value=b"A" * 80, pad=False)
@example(tag=0x00181210, vr="SQ", value=b"A" * 80, pad=False)
@example(tag=0x0020000D, vr="SQ", value=b"A" * 80, pad=False)
@example(tag=0x0020000D, vr="UI", value=b"1\\2\\3", pad=True)
@example(tag=0x00180015, vr="CS", value=b"1\\2\\3", pad=True)
def test_a_header_of_any_content_is_used_whole_or_refused_in_one_line(
    tag: int, vr: str, value: bytes, pad: bool
) -> None:
    data = spliced(int(tag), vr, value + b" " * (len(value) % 2 if pad else 0))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "in")
        write_series(source / "good", stack(2, shape=(8, 8)), BODY)
        path = source / "0.dcm"
        path.write_bytes(data)
        begun = time.monotonic()
        with contextlib.suppress(UsageError, InputError), find_inputs(source) as inputs:
            assert [s for s in inputs.series if len(s) == 2], "the good series is found beside it"
            for skipped in inputs.skipped:
                assert len(skipped.reason) <= 800
                assert skipped.reason.isprintable()
            for number, series in enumerate(inputs.series):
                volume = read_volume(series)
                assert np.isfinite(volume.hu).all()
                for form in (DerivedSeriesWriter, EnhancedImageWriter):
                    out = Path(folder, f"{form.__name__}{number}")
                    out.mkdir()
                    writer = form(series, series.grid, DERIVATION, out)
                    for k, plane in enumerate(volume.hu):
                        writer.write(k, plane)
                    assert pydicom.dcmread(writer.files[0]).SOPInstanceUID
        assert time.monotonic() - begun < 20
        assert path.read_bytes() == data
