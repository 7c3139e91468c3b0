"""The parts of a report that classification alone has: read from metrics.json, the manifest and the predictions."""
