"""Presets and model files, read by Hydra from the package alone."""
