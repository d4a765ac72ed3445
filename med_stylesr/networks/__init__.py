"""Generator, discriminators and feature extractors."""
