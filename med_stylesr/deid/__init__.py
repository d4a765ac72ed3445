"""De-identification by DICOM PS3.15 Annex E. Imports neither torch nor MONAI."""
