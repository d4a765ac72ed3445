"""Export and verification of bundles."""
