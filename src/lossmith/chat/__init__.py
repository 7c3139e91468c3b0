"""Trained models asked by a person: one text at a time, in the terminal and for the playground's page."""
