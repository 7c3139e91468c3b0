"""Fine-tune language models on the objective the task really has."""
