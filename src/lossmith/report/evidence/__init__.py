"""The parts of a report that show evidence: a document with what speaks for its class, and what queries look for."""
