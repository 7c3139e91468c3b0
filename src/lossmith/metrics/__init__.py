"""How good texts, labels and scores are: plain functions over the columns of a predictions file."""
