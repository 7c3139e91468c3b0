"""What helps before and after a run: what the model sees of a record, and whether that is what was meant."""
