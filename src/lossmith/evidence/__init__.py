"""What a retrieval classifier's predictions rest on: one document's evidence, and what a whole run looks for."""
