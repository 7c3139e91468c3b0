"""Whether a machine, its libraries and a model's tokenizer are fit for work: findings, each with its mending."""
