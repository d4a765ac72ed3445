"""Loss functions: edge-preserving, adversarial, style, perceptual, frequency, and their weighted sum."""
