"""MONAI array and dictionary transforms: thin wrappers, no logic of their own."""
