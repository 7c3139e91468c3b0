"""Models of runs asked in a browser of the same machine: a small page, and the server that it asks."""
