"""Which characters and which tokens of a text a name covers."""

from lossmith.spans.characters import CharSpan, intervals_of
from lossmith.spans.markers import Mark, Markers
from lossmith.spans.tokens import TokenSpan, kept_spans, token_offsets, token_spans

__all__ = [
    "CharSpan",
    "Mark",
    "Markers",
    "TokenSpan",
    "intervals_of",
    "kept_spans",
    "token_offsets",
    "token_spans",
]
