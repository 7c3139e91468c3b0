"""A trained model given away: merged, verified, described, published."""
