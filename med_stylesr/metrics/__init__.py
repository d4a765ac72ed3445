"""Image quality as physicists measure it: fidelity, texture, resolution, detectability, bias, hallucination."""
