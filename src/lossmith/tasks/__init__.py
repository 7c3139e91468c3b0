"""One file a task: how its rows are batched, carried through the model, and predicted."""
