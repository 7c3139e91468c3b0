"""Counts of one split, kept while its records are written."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from lossmith.data.columns import as_text
from lossmith.data.labelling import Label, Labelling
from lossmith.data.leaks import normal_form
from lossmith.data.records import Record
from lossmith.data.rendered import Chunked, Encoded
from lossmith.data.splits import hash_text
from lossmith.labels import CRITERION

COMPARED_RECORDS = 50_000  # of a split; beyond it near-duplicates are not looked for
COMPARED_CHARACTERS = 1 << 25  # of all their texts: comparing takes some 20 bytes a character
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


class Tally:
    """Records, tokens or chunks, lengths, spans and duplicates of a split; memory is 32 bytes a record.

    `end_ids` are the tokens that may end an answer. With `judged`, the fields that the label of a classification is
    found from, the records of each label are counted by group and by criterion, and (id, text) of the first records are
    kept in `compared`; None says that there were too many to keep. Records are `paired` where one document comes with
    several criteria, one after another: it is one text then, and no duplicate of itself.
    """

    def __init__(
        self, end_ids: Collection[int], *, judged: Collection[str] | None = None, paired: bool = False
    ) -> None:
        self._end_ids = frozenset(end_ids)
        self._paired = paired
        self._document = ""
        self._compared_characters = 0
        self._judged = None if judged is None else sorted(judged)
        self.records = 0
        self.repeated = 0
        self.tokens = 0
        self.supervised_tokens = 0
        self.straddled = 0
        self.ended = 0
        self.truncation: Counter[str] = Counter()
        self.span_records: Counter[str] = Counter()
        self.span_items: Counter[str] = Counter()
        self.span_tokens: Counter[str] = Counter()
        self._lengths: Counter[int] = Counter()
        self._chunks: Counter[int] = Counter()
        self._chunk_characters: Counter[int] = Counter()
        self._texts = array("Q")
        self._prompts = array("Q")
        self._clusters = array("Q")
        self.unaligned: Counter[str] = Counter()
        self.respelled: Counter[tuple[str, str]] = Counter()
        self.labels: dict[str | None, Counter[Label]] = {}
        self.criteria: dict[str, Counter[Label]] = {}
        self.compared: list[tuple[str, str]] | None = []
        self._plain = array("Q")

    def add(self, record: Record, encoded: Encoded | Chunked, copies: int) -> None:
        """Count a record; one that is dropped counts for truncation alone."""
        if isinstance(encoded, Chunked):
            prompt = encoded.judged
            self._chunks[len(encoded.chunks)] += 1
            self._chunk_characters.update(end - start for start, end in encoded.chunks)
        else:
            prompt = encoded.prompt
            if encoded.truncation is not None:
                self.truncation[encoded.truncation] += 1
            if encoded.truncation == "dropped":
                return
            self._add_tokens(encoded, copies)
        self.records += 1
        self.repeated += copies - 1
        self.unaligned.update(record.unaligned)
        self.respelled.update(record.respelled)
        if self._judged is not None:
            self._add_judged(record, copies)
        if record.cluster is not None:
            self._clusters.append(hash_text(record.cluster))
        if isinstance(encoded, Chunked) and not encoded.prompt.strip():
            return  # an empty document repeats none
        self._texts.append(hash_text(f"{prompt}\x1e{encoded.target}"))
        if prompt:
            self._prompts.append(hash_text(prompt))

    def _add_tokens(self, encoded: Encoded, copies: int) -> None:
        self.tokens += len(encoded.input_ids) * copies
        self.supervised_tokens += copies * sum(end - start for start, end in encoded.supervised)
        self.straddled += encoded.straddles
        self._lengths[len(encoded.input_ids)] += 1
        last = encoded.supervised[-1][1] if encoded.supervised else 0
        self.ended += bool(last) and encoded.input_ids[last - 1] in self._end_ids
        for name, positions in _positions(encoded).items():
            self.span_records[name] += 1
            self.span_tokens[name] += len(positions) * copies
        for span in encoded.spans:
            self.span_items[span.name] += 1

    def _add_judged(self, record: Record, copies: int) -> None:
        """Count a label and keep the text that it is found from, without what a template writes around it."""
        self.labels.setdefault(record.group, Counter())[record.label] += copies
        if (criterion := as_text(record.keep.get(CRITERION))) is not None:
            self.criteria.setdefault(criterion, Counter())[record.label] += copies
        held = (record.fields.get(name) for name in self._judged or ())
        text = "\n".join(str(value) for value in held if value is not None)
        if not text.strip() or (self._paired and text == self._document):
            return
        self._document = text
        self._plain.append(hash_text(normal_form(text)))
        self._compared_characters += len(text)
        if self.compared is not None:
            self.compared.append((record.id, text))
            if len(self.compared) > COMPARED_RECORDS or self._compared_characters > COMPARED_CHARACTERS:
                self.compared = None

    @property
    def rows(self) -> int:
        """Rows as they are written, repeated ones too."""
        return self.records + self.repeated

    @property
    def conflicts(self) -> int:
        """Records that repeat a prompt with another target than before."""
        return len(np.unique(self.texts)) - len(np.unique(self.prompts)) if len(self._prompts) else 0

    @property
    def texts(self) -> np.ndarray:
        """Hashes of prompt and target, one a record that has text."""
        return np.array(self._texts, dtype=np.uint64)

    @property
    def plain(self) -> np.ndarray:
        """Hashes of the texts that labels are found from, in one case and form, one a record or document with text."""
        return np.array(self._plain, dtype=np.uint64)

    @property
    def prompts(self) -> np.ndarray:
        """Hashes of the prompts that are not empty."""
        return np.array(self._prompts, dtype=np.uint64)

    @property
    def clusters(self) -> np.ndarray:
        """Hashes of the clusters, one a record that has one."""
        return np.array(self._clusters, dtype=np.uint64)

    def class_counts(self, labelling: Labelling, names: Sequence[str]) -> tuple[int, ...]:
        """Rows of each class, as often as they are written."""
        counts: Counter[str] = Counter()
        for found in self.labels.values():
            for label, rows in found.items():
                counts.update(dict.fromkeys(labelling.names(label), rows))
        return tuple(counts[name] for name in names)

    def summary(self, span_names: Collection[str]) -> dict[str, Any]:
        """The split's part of the audit; every name of `span_names` has its counts, also where they are 0."""
        names = sorted({*span_names, *self.span_tokens})
        return {
            "records": self.records,
            "repeated": self.repeated,
            "tokens": self.tokens,
            "supervised_tokens": self.supervised_tokens,
            "supervised_share": self.supervised_tokens / self.tokens if self.tokens else None,
            "length": _quantiles(self._lengths),
            "truncation": dict(sorted(self.truncation.items())),
            "clusters": len(np.unique(self.clusters)),
            "duplicates": len(self._texts) - len(np.unique(self.texts)),
            "straddled_tokens": self.straddled,
            "end_supervised": self.ended,
            "spans": {
                name: {
                    "records": self.span_records[name],
                    "items": self.span_items[name],
                    "tokens": self.span_tokens[name],
                    **({"unaligned": self.unaligned[name]} if self.unaligned[name] else {}),
                }
                for name in names
            },
            **({"respelled": self.respelled.total()} if self.respelled else {}),
            **({"documents": len(self._plain)} if self._paired else {}),
            **({"chunks": self._chunk_facts()} if self._chunks else {}),
        }

    def _chunk_facts(self) -> dict[str, Any]:
        """Chunks of the split, of a record, characters of one, and the records without."""
        return {
            "total": self._chunk_characters.total(),
            "without": self._chunks[0],
            "record": _quantiles(self._chunks),
            "characters": _quantiles(self._chunk_characters),
        }


def _quantiles(counted: Counter[int]) -> dict[str, int] | None:
    """Numbers at the quantiles, the nearest rank above; None of none."""
    if not counted:
        return None
    numbers = sorted(counted)
    reached = np.cumsum([counted[number] for number in numbers])
    found = {name: numbers[int(np.searchsorted(reached, q * reached[-1]))] for name, q in QUANTILES.items()}
    return {**found, "max": numbers[-1]}


def _positions(encoded: Encoded) -> dict[str, set[int]]:
    """Token positions by span name; nested items of one name count once."""
    positions: dict[str, set[int]] = {}
    for span in encoded.spans:
        positions.setdefault(span.name, set()).update(range(span.start, span.end))
    return positions
