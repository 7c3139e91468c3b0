"""Weighed words of a chunk in few dimensions: an encoder fitted on the training texts, with no download."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lossmith.errors import DataError, InputError
from lossmith.models.encoders.encoder import ENCODER_FILE, Encoded
from lossmith.runs import read_json, write_json

KIND = "tfidf-svd"
ARRAYS = "tfidf-svd.safetensors"
# Chunks that are fitted on, a seeded sample of them where there are more: it bounds memory, and words that the sample
# lacks are too rare to be among the terms.
FITTED_CHUNKS = 100_000
# A word, or one sign of a script that is written without blanks (kana, Han): its runs would be words seen once.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TERM = rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+"
_VERSION = 1  # raised when the same arrays come to give other vectors


@dataclass(frozen=True)
class TfidfSvd:
    """Latent semantic analysis: log-scaled counts of terms, weighed by inverse document frequency, projected.

    terms: the words counted, in the order of the arrays. idf: (terms,), their weights. components: (width, terms), the
    directions in which the training chunks differ most. A chunk without any of the terms has zeros.

    Source: Deerwester et al. 1990, "Indexing by latent semantic analysis".

    >>> fitted = TfidfSvd.fit(["red apples", "green apples", "green pears"], width=2, terms=10, seed=0)
    >>> fitted.terms, fitted.width
    (('apples', 'green', 'pears', 'red'), 2)
    >>> fitted.encode(["green plums"])[0].vectors.shape
    (1, 2)
    """

    terms: tuple[str, ...]
    idf: np.ndarray
    components: np.ndarray

    @classmethod
    def fit(cls, chunks: Iterable[str], *, width: int, terms: int, seed: int) -> TfidfSvd:
        """Fit it on training chunks; the same chunks in the same order and the same seed give the same arrays.

        At most `terms` words, the most frequent, and `width` dimensions: fewer where chunks or words are fewer, and
        where words are, one for each. Raises DataError where the chunks hold no word.
        """
        from sklearn.decomposition import TruncatedSVD
        from threadpoolctl import threadpool_limits

        texts = _sample(chunks, FITTED_CHUNKS, seed=seed)
        vectorizer = _vectorizer(max_features=terms)
        try:
            weighed = vectorizer.fit_transform(texts)
        except ValueError as error:
            raise DataError(
                f"{KIND} finds no word in the training chunks",
                got=f"{len(texts):,} chunks",
                expected="chunks with words to count",
                fix="look at data.template and data.chunks, or name an encoder: model.base",
            ) from error
        found = tuple(vectorizer.get_feature_names_out().tolist())
        idf = vectorizer.idf_.astype(np.float32)
        if len(found) <= width:
            return cls(found, idf, np.eye(len(found), dtype=np.float32))
        # Sums of threads come in any order, and would make other arrays on a machine with other cores.
        with threadpool_limits(1):
            svd = TruncatedSVD(min(width, len(texts)), random_state=seed).fit(weighed)
        # safetensors writes memory as it lies, and components come transposed.
        return cls(found, idf, svd.components_.astype(np.float32, order="C"))

    @classmethod
    def load(cls, folder: Path) -> TfidfSvd:
        """What `save` wrote. Raises LossmithError or InputError where it is missing or damaged."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        terms = read_json(folder / ENCODER_FILE)["terms"]
        try:
            arrays = load_file(folder / ARRAYS)
            idf, components = arrays["idf"], arrays["components"]
        except (OSError, KeyError, SafetensorError) as error:
            raise InputError(
                f"{folder} lacks what {KIND} was fitted to", got=str(error), expected=f"{ARRAYS} as it was saved"
            ) from error
        return cls(tuple(terms), idf, components)

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return int(self.components.shape[0])

    @property
    def per_token(self) -> bool:
        """One vector a text."""
        return False

    @property
    def longest(self) -> None:
        """It reads all of a text."""
        return

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of terms and arrays."""
        digest = hashlib.sha256(f"{KIND} {_VERSION} {self.components.shape}\0".encode())
        digest.update("\0".join(self.terms).encode())
        for array in (self.idf, self.components):
            digest.update(array.astype("<f4").tobytes())
        return digest.hexdigest()

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """One vector for each text."""
        weighed = self._fitted.transform(texts)
        vectors = np.asarray(weighed @ self.components.T)
        return [Encoded.whole(text, vector) for text, vector in zip(texts, vectors, strict=True)]

    def save(self, folder: Path) -> None:
        """Write terms as JSON and arrays as safetensors."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file({"idf": self.idf, "components": self.components}, folder / ARRAYS)
        write_json(folder / ENCODER_FILE, {"schema": 1, **self.about(), "terms": list(self.terms)})

    def about(self) -> dict[str, Any]:
        """Kind, sizes and fingerprint."""
        return {"kind": KIND, "width": self.width, "count_of_terms": len(self.terms), "fingerprint": self.fingerprint}

    @cached_property
    def _fitted(self) -> Any:
        vectorizer = _vectorizer(vocabulary={term: place for place, term in enumerate(self.terms)})
        vectorizer.idf_ = self.idf
        return vectorizer


def _vectorizer(**more: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, token_pattern=_TERM, dtype=np.float32, **more)


def _sample(chunks: Iterable[str], count: int, *, seed: int) -> list[str]:
    """At most `count` of them, each with the same chance, in one pass.

    >>> _sample("abc", 5, seed=0), len(_sample("abcdefgh", 3, seed=0))
    (['a', 'b', 'c'], 3)
    """
    draw = random.Random(seed)  # a sample, no secret  # nosec B311
    left = iter(chunks)
    kept = list(islice(left, count))
    for number, chunk in enumerate(left, start=count):
        place = draw.randrange(number + 1)
        if place < count:
            kept[place] = chunk
    return kept
