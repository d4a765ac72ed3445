"""Low-dose and low-resolution simulation: projector, dose, resolution, learned degradation."""
