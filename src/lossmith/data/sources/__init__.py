"""Readers of the formats that records come in, one file a format."""
