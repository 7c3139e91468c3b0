"""Frozen encoders of chunks: texts in, vectors out."""
