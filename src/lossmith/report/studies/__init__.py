"""Pages of studies: cross-validation, ablation and search, read from study.json and the runs inside its folder."""
