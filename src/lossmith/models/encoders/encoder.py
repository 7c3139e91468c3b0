"""What an encoder is to those who ask it: texts in, vectors with their places in the text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

# The file of an encoder's folder that says which it is.
ENCODER_FILE = "encoder.json"


@dataclass(frozen=True)
class Encoded:
    """What an encoder makes of a text: `vectors` (vectors, width) in fp32, as the encoder gives them.

    spans: (vectors, 2) int32, the characters of the text that each stands for. cut: whether the end of the text was
    not read, because the encoder reads no more than so many tokens.
    """

    vectors: np.ndarray
    spans: np.ndarray
    cut: bool = False

    @classmethod
    def whole(cls, text: str, vector: np.ndarray, *, cut: bool = False) -> Encoded:
        """One vector (width,) for all of a text.

        >>> Encoded.whole("abc", np.zeros(2)).spans.tolist()
        [[0, 3]]
        """
        return cls(vector[None].astype(np.float32), np.array([[0, len(text)]], dtype=np.int32), cut)


class ChunkEncoder(Protocol):
    """A frozen encoder of texts.

    width: numbers in a vector. fingerprint: names all that the vectors depend on; it is found without loading weights,
    which happens when something has to be encoded. per_token: whether a text has a vector for each of its tokens
    instead of one. longest: tokens of a text that it reads, None for all.
    """

    @property
    def width(self) -> int: ...  # noqa: D102

    @property
    def fingerprint(self) -> str: ...  # noqa: D102

    @property
    def per_token(self) -> bool: ...  # noqa: D102

    @property
    def longest(self) -> int | None: ...  # noqa: D102

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """The vectors of each text, in order; some thousands of texts in a call, since they are batched inside."""
        ...

    def save(self, folder: Path) -> None:
        """Write what `load_encoder` needs, into a folder that is there or can be made."""
        ...

    def about(self) -> dict[str, Any]:
        """What a manifest keeps of it: kind, base, width, fingerprint and the like, as plain data."""
        ...


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1, (rows, width) float32; a row of zeros stays, and has the cosine 0 with everything.

    >>> unit_length(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    found = vectors.astype(np.float64)
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)
