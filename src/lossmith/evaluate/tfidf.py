"""Logistic regression on TF-IDF of the training texts, where records are pairs also on words by their criterion."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

ABSENT_LOGIT = -1e4  # of a class without a training record
_WORD = r"(?u)\b\w+\b"


@dataclass(frozen=True)
class Texts:
    """What is read of records: their texts, and where they are pairs the second text of each (the criterion)."""

    texts: Sequence[str]
    pairs: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def hold_words(self) -> bool:
        """Whether any text has a word that could be counted."""
        return any(re.search(_WORD, text) for text in self.texts)


def tfidf_logits(train: Texts, gold: np.ndarray, asked: Sequence[Texts], *, multi_label: bool) -> list[np.ndarray]:
    """Logits (records, classes) of every asked set of texts; examples of each class weigh alike.

    `gold` (records, classes) are the training masks. Of pairs a document's words count twice, once for every criterion
    and once for their own (Daumé III 2007, Frustratingly easy domain adaptation), beside the criterion's own words: on
    one count of both texts the documents would have one order under every criterion. A criterion that training lacks
    is judged by the first and the last. Raises ValueError where no training text has a word (`hold_words`).

    >>> train = Texts(["red wine", "white wine", "red wine", "white wine"], ["red", "red", "white", "white"])
    >>> gold = np.array([[False, True], [True, False], [True, False], [False, True]])
    >>> found, = tfidf_logits(train, gold, [Texts(["red wine", "red wine"], ["red", "white"])], multi_label=False)
    >>> (found[:, 1] > 0).tolist()
    [True, False]
    """
    features = _Features(train)
    known = features.of(train)
    if multi_label:
        fitted = [_fit(known, gold[:, place].astype(int)) for place in range(gold.shape[1])]
    else:
        fitted = [_fit(known, gold.argmax(axis=1))]

    def logits(texts: Texts) -> np.ndarray:
        if not len(texts):
            return np.zeros((0, gold.shape[1]))
        rows = features.of(texts)
        if multi_label:
            return np.stack([one(rows, 2)[:, 1] for one in fitted], axis=1)
        return fitted[0](rows, gold.shape[1])

    return [logits(texts) for texts in asked]


class _Features:
    """Rows of numbers from texts, by the words of the training texts."""

    def __init__(self, train: Texts) -> None:
        self._words = _vectorizer().fit(train.texts)
        self._criteria: dict[str, int] = {}
        self._own_words: Any = None
        self._kept = np.zeros(0, dtype=np.int64)
        if train.pairs is None:
            return
        self._criteria = {pair: place for place, pair in enumerate(dict.fromkeys(train.pairs))}
        if Texts(train.pairs).hold_words:
            self._own_words = _vectorizer().fit(train.pairs)
        self._kept = np.unique(self._by_criterion(self._words.transform(train.texts), train.pairs)[2])

    def of(self, texts: Texts) -> csr_matrix:
        """(records, features)."""
        from scipy.sparse import csr_matrix, hstack

        shared = self._words.transform(texts.texts)
        if not self._criteria:
            return shared
        pairs = texts.pairs or [""] * len(texts)
        values, rows, columns = self._by_criterion(shared, pairs)
        places = np.searchsorted(self._kept, columns)
        held = places < len(self._kept)
        held[held] = self._kept[places[held]] == columns[held]
        own = csr_matrix((values[held], (rows[held], places[held])), shape=(len(texts), len(self._kept)))
        blocks = [shared, own]
        if self._own_words is not None:
            blocks.append(self._own_words.transform(pairs))
        return hstack(blocks, format="csr")

    def _by_criterion(self, shared: csr_matrix, pairs: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values, rows and columns of words under the criterion of their record; nothing where training lacks it."""
        cells = shared.tocoo()
        criterion = np.array([self._criteria.get(pair, -1) for pair in pairs], dtype=np.int64)[cells.row]
        known = criterion >= 0
        columns = criterion[known] * shared.shape[1] + cells.col[known]
        return cells.data[known], cells.row[known], columns


def _vectorizer() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=_WORD)


def _fit(known: Any, places: np.ndarray) -> Callable[[Any, int], np.ndarray]:
    """A function from rows and the number of classes to logits (rows, classes)."""
    from sklearn.linear_model import LogisticRegression

    held = np.unique(places)
    if len(held) == 1:
        return lambda rows, width: (
            np.where(np.arange(width) == held[0], 0.0, ABSENT_LOGIT) * np.ones((rows.shape[0], 1))
        )
    model = LogisticRegression(class_weight="balanced", max_iter=1000).fit(known, places)

    def logits(rows: Any, width: int) -> np.ndarray:
        found = np.asarray(model.decision_function(rows))
        own = np.full((len(found), width), ABSENT_LOGIT)
        own[:, model.classes_] = np.stack([np.zeros_like(found), found], axis=1) if found.ndim == 1 else found
        return own

    return logits
