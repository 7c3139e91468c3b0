"""The page that stands beside a model that is given away: what it was trained on, for what, and how well it does."""
