"""De-identification after DICOM PS3.15 Annex E: profiles, hooks for every writing path, and proof."""

from med_stylesr.deid.deidentifier import Deidentifier
from med_stylesr.deid.harvest import Harvest
from med_stylesr.deid.keys import SecretKey, load_or_create_key
from med_stylesr.deid.profile import Profile, load_profile
from med_stylesr.deid.verify import verify_tree
from med_stylesr.deid.volumes import clean_volume_header

__all__ = [
    "Deidentifier",
    "Harvest",
    "Profile",
    "SecretKey",
    "clean_volume_header",
    "load_or_create_key",
    "load_profile",
    "verify_tree",
]
