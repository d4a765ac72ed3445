"""Run other de-identification programs over the same objects full of tokens and count what survives.

    pip install --target peers --no-deps dicognito==0.19.0 dicom-anonymizer==2.1.0 deid==0.4.13 tqdm python-dateutil
    PYTHONPATH=peers python tests/benchmarks/compare_deid_peers.py

Each program runs as its documentation shows for the strictest use without writing rules of one's own. Prints a table in
Markdown. The programs are needed for this comparison only.
"""

from __future__ import annotations

import io
import pathlib
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable

import pydicom

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from deid_tokens import Tokens, every_attribute, hiding_places, plain_slice, written

from med_stylesr.deid import Deidentifier, load_profile
from med_stylesr.deid.keys import new_key
from med_stylesr.deid.table import attribute_rules

Program = Callable[[bytes], bytes]


def ours(data: bytes) -> bytes:
    """This project with its basic profile."""
    source = pydicom.dcmread(io.BytesIO(data))
    deidentifier = Deidentifier(load_profile("basic"), new_key())
    deidentifier.harvest(source)
    return deidentifier.clean(source).file()


def dicognito(data: bytes) -> bytes:
    """Dicognito with its default handlers."""
    from dicognito.anonymizer import Anonymizer

    dataset = pydicom.dcmread(io.BytesIO(data))
    Anonymizer().anonymize(dataset)
    return written(dataset)


def dicom_anonymizer(data: bytes) -> bytes:
    """dicom-anonymizer with its default rules, private tags deleted."""
    from dicomanonymizer.simpledicomanonymizer import anonymize_dicom_file

    with tempfile.TemporaryDirectory() as folder:
        source, dest = pathlib.Path(folder, "a.dcm"), pathlib.Path(folder, "b.dcm")
        source.write_bytes(data)
        anonymize_dicom_file(str(source), str(dest))
        return dest.read_bytes()


def pydicom_deid(data: bytes) -> bytes:
    """Deid with its default recipe and private elements removed."""
    from deid.dicom import get_identifiers, replace_identifiers

    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "a.dcm")
        source.write_bytes(data)
        ids = get_identifiers([str(source)])
        (dataset,) = replace_identifiers([str(source)], ids=ids, save=False, remove_private=True)
        return written(dataset)


PROGRAMS: dict[str, Program] = {
    "med-stylesr basic": ours,
    "dicognito 0.19.0": dicognito,
    "dicom-anonymizer 2.1.0": dicom_anonymizer,
    "deid 0.4.13": pydicom_deid,
}


def place_kind(place: str) -> str:
    """Coarse kind of a place, for the table."""
    if place.startswith("top"):
        return "table E.1-1" if int(place.split()[1], 16) in attribute_rules() else "other attributes"
    if "private" in place:
        return "private"
    if place.startswith("nested"):
        return "nested"
    return "structures"


def survivors(program: Program, letters_only: bool) -> tuple[Counter[str], Counter[str], str]:
    """Tokens that survive, tokens there were, by kind of place, and what went wrong."""
    left: Counter[str] = Counter()
    there: Counter[str] = Counter()
    failed = ""
    for make in (every_attribute, hiding_places):
        tokens = Tokens(letters_only)
        data = written(make(tokens))
        here = Counter(place_kind(p) for p in tokens.where.values())
        there.update(here)
        try:
            left.update(place_kind(p) for p in tokens.found_in(program(data)).values())
        except Exception as error:
            failed = f"{type(error).__name__} on {', '.join(sorted(here))}"
            left.update(dict.fromkeys(here, -1))
    return left, there, failed


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    kinds = ("table E.1-1", "other attributes", "nested", "private", "structures")
    print("| program | " + " | ".join(kinds) + " | ms a slice (64 x 64) | did not finish |")
    print("|---|" + "---|" * (len(kinds) + 2))
    plain = written(plain_slice())
    for name, program in PROGRAMS.items():
        left, there, failed = survivors(program, letters_only=True)
        program(plain)
        start = time.process_time()
        for _ in range(20):
            program(plain)
        cost = (time.process_time() - start) / 20 * 1e3
        cells = " | ".join(f"{left[k]} of {there[k]}" if left[k] >= 0 else "-" for k in kinds)
        print(f"| {name} | {cells} | {cost:.1f} | {failed or '-'} |")


if __name__ == "__main__":
    main()
