"""Many runs of one question: folds, ablations, a search."""
