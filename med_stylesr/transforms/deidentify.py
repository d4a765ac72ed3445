"""De-identification as a MONAI transform: a thin hook over `med_stylesr.deid`."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.config import KeysCollection
from monai.transforms.transform import MapTransform, Transform
from pydicom.dataset import Dataset

from med_stylesr.deid import Deidentifier


class DeidentifyDicom(Transform):
    """Clean the DICOM headers of one study: identifiers are harvested from all of them before any is cleaned.

    Args:
        deidentifier: profile and key to use.
        derived: the objects were made by this program, so that its own descriptions stay.
    """

    def __init__(self, deidentifier: Deidentifier, derived: bool) -> None:
        self.deidentifier = deidentifier
        self.derived = derived

    def __call__(self, headers: Sequence[Dataset]) -> list[Dataset]:
        """Cleaned copies of the objects, in their order.

        Raises:
            InputError: if one of them cannot be cleaned.
        """
        for header in headers:
            self.deidentifier.harvest(header)
        return [self.deidentifier.apply(header, derived=self.derived) for header in headers]


class DeidentifyDicomd(MapTransform):
    """`DeidentifyDicom` for lists of objects under keys of a dictionary.

    Args:
        keys: keys of lists of data sets.
        deidentifier: profile and key to use.
        derived: the objects were made by this program.
        allow_missing_keys: leave out keys that are not there.
    """

    def __init__(
        self, keys: KeysCollection, deidentifier: Deidentifier, derived: bool, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.clean = DeidentifyDicom(deidentifier, derived)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The dictionary with cleaned objects in place of the original ones."""
        return {**data, **{key: self.clean(data[key]) for key in self.key_iterator(data)}}
