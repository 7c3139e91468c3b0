"""What a training will take, before it begins: steps, memory by part, time, and what to change if it does not fit."""
