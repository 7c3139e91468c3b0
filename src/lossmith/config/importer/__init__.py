"""From the flat recipes of other tools to a configuration; every key is told of."""
