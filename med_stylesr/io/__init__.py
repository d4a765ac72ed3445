"""Reading and writing volumes: DICOM series, NIfTI, NRRD, MHA. Imports neither torch nor MONAI."""
