"""Trainers and handlers on MONAI's engines."""
