"""Models: built from nothing or loaded, with adapters, number formats, and access to hidden states and heads."""
