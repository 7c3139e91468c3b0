"""Definitions written from the papers: float64, dense, plain loops; nothing of the package is used here."""
