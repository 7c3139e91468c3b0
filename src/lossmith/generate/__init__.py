"""Batched decoding: token ids in, token ids out."""
