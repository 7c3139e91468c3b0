"""What `lossmith inspect` found for one record, as plain data for a terminal, a page or a program."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from lossmith.doctor.label_facts import Labelled
from lossmith.doctor.round_trip import Comparison

Status = Literal["prepared", "dropped", "left_out", "rejected", "failed"]


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a record.

    `text` are its characters (the texts join to the record's text); of a character split over tokens the first holds
    it and `bytes` shows each one's bytes in hexadecimal. `role` is end, answer, special, template, prompt, or the role
    of the message that the token is content of; it follows from the text alone, never from what is supervised.
    `supervised` says that the collator makes it a label; `loss` is that of predicting it, in nats. `start` and `end`
    are characters of the rendered text, None where it was not rendered again.
    """

    index: int
    id: int
    text: str
    bytes: str | None
    role: str
    supervised: bool = False
    spans: tuple[tuple[str, int], ...] = ()
    terms: tuple[str, ...] = ()
    loss: float | None = None
    start: int | None = None
    end: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The token with its spans as {name, item}; a loss that is no number is null."""
        finite = self.loss is not None and math.isfinite(self.loss)
        return {
            **asdict(self),
            "spans": [{"name": name, "item": item} for name, item in self.spans],
            "terms": list(self.terms),
            "loss": self.loss if finite else None,
        }


@dataclass(frozen=True, slots=True)
class TermReading:
    """One term of the objective and how many positions of this record it reads."""

    name: str
    weight: float
    span: tuple[str, ...]
    positions: int


@dataclass(frozen=True, slots=True)
class Position:
    """One supervised position: hidden state `hidden` predicts `label`, which is token `token` of the record.

    A decoder's states stand at the record's tokens, each before the one it predicts; those of an encoder-decoder at
    what its decoder is fed, from 0.
    """

    position: int
    hidden: int
    token: int
    label: int
    example: int
    spans: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """The collated batch of this record alone: shapes by name, its rows of numbers, and its positions in order.

    Of an encoder-decoder `input_ids` are the source, `targets` what is written, and `decoder_input_ids` what its
    decoder is fed.
    """

    shapes: dict[str, tuple[int, ...]]
    input_ids: tuple[int, ...]
    attention_mask: tuple[int, ...]
    mask: tuple[bool, ...]
    positions: tuple[Position, ...]
    targets: tuple[int, ...] | None = None
    decoder_input_ids: tuple[int, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """The batch with the spans of a position by name, -1 where it lies outside of one."""
        positions = [{**asdict(one), "spans": dict(one.spans)} for one in self.positions]
        return {**asdict(self), "positions": positions}


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it is cut: half-open intervals of its characters, the criterion beside it, and by what it is cut.

    `cut` holds the keys of data.chunks.
    """

    text: str
    pair: str | None
    chunks: tuple[tuple[int, int], ...]
    cut: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Plain values, each chunk with its text."""
        chunks = [{"start": start, "end": end, "text": self.text[start:end]} for start, end in self.chunks]
        return {"text": self.text, "pair": self.pair, "cut": dict(self.cut), "chunks": chunks}


@dataclass(frozen=True, slots=True)
class Inspection:
    """One record as training sees it.

    `status` is prepared, dropped (too long to train on), left_out (by data.limit, a weight below 1 or folds), rejected,
    or failed (nothing of its prompt fits); `reason` says why where it is not prepared. A rejected or failed record has
    no tokens. `disagreements` are sentences that must not be there: the prepared row against a fresh rendering, the
    batch against the row. `answer` and `text` are the two halves of the round trip. `labelled` is the label, where the
    task is a classification. Of the retrieval task `document` holds the chunks, in place of tokens and a batch.
    """

    record: str
    split: str | None
    status: Status
    reason: str | None = None
    copies: int = 1
    folder: str = ""
    tokens: Sequence[Token] = ()
    spans: Sequence[str] = ()
    terms: Sequence[TermReading] = ()
    answer: Comparison | None = None
    text: Comparison | None = None
    batch: Batch | None = None
    labelled: Labelled | None = None
    document: Document | None = None
    disagreements: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def supervised(self) -> int:
        """Tokens that are labels."""
        return sum(token.supervised for token in self.tokens)

    @property
    def mean_loss(self) -> float | None:
        """Mean over the tokens that have one, in nats; None without a model."""
        losses = [token.loss for token in self.tokens if token.loss is not None]
        return sum(losses) / len(losses) if losses else None

    def with_losses(self, losses: Sequence[float]) -> Inspection:
        """The same with the loss of each position at the token that it predicts."""
        assert self.batch is not None
        by_token = {at.token: loss for at, loss in zip(self.batch.positions, losses, strict=True)}
        tokens = [replace(token, loss=by_token.get(token.index)) for token in self.tokens]
        broken = sum(not math.isfinite(loss) for loss in losses)
        notes = [*self.notes, *([f"{broken} positions have a loss that is no finite number"] if broken else [])]
        return replace(self, tokens=tokens, notes=notes)

    def as_page(self) -> dict[str, Any]:
        """The same plain data, with every token that is only a part of a character marked as one."""
        found = self.as_json()
        for token in found["tokens"]:
            if token["bytes"] is not None:
                token["text"] += "\ufffd"
        return found

    def as_json(self, *, tensors: bool = False) -> dict[str, Any]:
        """Plain data; with `tensors` the collated batch, too."""
        mean = self.mean_loss
        found: dict[str, Any] = {
            "record": self.record,
            "split": self.split,
            "status": self.status,
            "reason": self.reason,
            "copies": self.copies,
            "folder": self.folder,
            "tokens": [token.as_json() for token in self.tokens],
            "spans": list(self.spans),
            "terms": [{**asdict(term), "span": list(term.span)} for term in self.terms],
            "counts": {
                "tokens": len(self.tokens),
                "supervised": self.supervised,
                "chunks": 0 if self.document is None else len(self.document.chunks),
                "terms": {term.name: term.positions for term in self.terms},
            },
            "mean_loss": mean if mean is not None and math.isfinite(mean) else None,
            "round_trip": None,
            "classification": None if self.labelled is None else self.labelled.as_json(),
            "document": None if self.document is None else self.document.as_json(),
            "disagreements": list(self.disagreements),
            "notes": list(self.notes),
        }
        if self.answer is not None:
            found["round_trip"] = {
                "ok": self.answer.ok,
                "supervised_text": self.answer.got,
                "target": self.answer.expected,
                "difference": self.answer.difference,
                "text": None if self.text is None else {"ok": self.text.ok, "difference": self.text.difference},
            }
        if tensors:
            found["batch"] = None if self.batch is None else self.batch.as_json()
        return found
