"""From a run's predictions to its metrics.json, and from two runs to their paired difference."""
