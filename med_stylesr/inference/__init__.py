"""Running a trained bundle on volumes: `Enhancer` is the one public entry."""
