"""Whether three readings of one record agree: the prepared row, the record rendered again, the collated batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lossmith.data.rendered import Encoded
from lossmith.doctor.inspection import Batch
from lossmith.doctor.round_trip import runs

_SHOWN = 60
Intervals = Sequence[tuple[int, int]]


def against_rendering(row: Mapping[str, Any], encoded: Encoded) -> list[str]:
    """A sentence for everything in which a prepared row differs from the record encoded again."""
    found = []
    if (at := _first_difference(row["input_ids"], encoded.input_ids)) is not None:
        found.append(
            f"token ids part at token {at}: the prepared row holds {_at(row['input_ids'], at)} "
            f"({len(row['input_ids'])} tokens), rendered again it is {_at(encoded.input_ids, at)} "
            f"({len(encoded.input_ids)} tokens)"
        )
    pairs: list[tuple[str, Any, Any]] = [
        ("the prompt's length", row["prompt_length"], encoded.prompt_length),
        ("where the second text begins", row.get("pair_start"), encoded.pair_start),
        ("the supervised tokens", _intervals(row["supervised"]), [tuple(pair) for pair in encoded.supervised]),
        ("the spans", _spans(row["spans"]), [(s.name, s.start, s.end, s.item) for s in encoded.spans]),
        ("the prompt's text", row["prompt"], encoded.prompt),
        ("the target's text", row["target"], encoded.target),
    ]
    for what, prepared, again in pairs:
        if prepared != again:
            at = _first_difference(prepared, again) if isinstance(prepared, str | list) else None
            here = _told(prepared, at), _told(again, at)
            found.append(f"{what}: {here[0]} in the prepared row, {here[1]} rendered again")
    return found


def against_inputs(
    row: Mapping[str, Any], ids: Sequence[int], label: Sequence[float], expected: Sequence[float]
) -> list[str]:
    """A sentence for everything in which the collated batch of a head is not the row: its ids, or its label.

    `label` is what the batch has, `expected` what the row's label is for the outputs of the head.
    """
    found = []
    if (at := _first_difference(ids, row["input_ids"])) is not None:
        found.append(
            f"token ids part at token {at}: the batch holds {_at(ids, at)}, the row {_at(row['input_ids'], at)}"
        )
    if list(label) != list(expected):
        found.append(f"the label: {_list(label)} in the batch, {_list(expected)} in the row")
    return found


def against_batch(
    row: Mapping[str, Any], batch: Batch, *, supervise_prompt: bool, decoder_of_its_own: bool = False
) -> list[str]:
    """A sentence for everything in which the collated batch is not the row: its ids, its labels, where they stand.

    `decoder_of_its_own`: the batch is one of an encoder-decoder, whose decoder is fed the targets shifted by one.
    """
    found = []
    ids = [*batch.input_ids, *(batch.targets or ())]
    if (at := _first_difference(ids, row["input_ids"])) is not None:
        found.append(
            f"token ids part at token {at}: the batch holds {_at(ids, at)}, the row {_at(row['input_ids'], at)}"
        )
    expected = {index for start, end in _intervals(row["supervised"]) for index in range(start, end)}
    if supervise_prompt:
        expected |= set(range(row["prompt_length"]))
    if not decoder_of_its_own:
        # The first token has no hidden state before it, so nothing predicts it.
        expected.discard(0)
    tokens = [position.token for position in batch.positions]
    if tokens != sorted(expected):
        found.append(f"the batch supervises the tokens {runs(tokens)}, the prepared row {runs(sorted(expected))}")
    labels = [position.label for position in batch.positions]
    there = [row["input_ids"][token] for token in tokens if token < len(row["input_ids"])]
    if (at := _first_difference(labels, there)) is not None:
        found.append(
            f"the label of position {at} is {_at(labels, at)}, the token that it should predict is {_at(there, at)}"
        )
    fed = batch.decoder_input_ids
    if fed is not None and (at := _first_difference(fed[1:], (batch.targets or ())[:-1])) is not None:
        found.append(
            f"the decoder is fed {_at(fed, at + 1)} at place {at + 1}, the target before it is "
            f"{_at(batch.targets or (), at)}"
        )
    return found


def _intervals(supervised: Sequence[Mapping[str, int]]) -> list[tuple[int, int]]:
    return [(one["start"], one["end"]) for one in supervised]


def _spans(spans: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, int, int]]:
    return [(one["name"], one["start"], one["end"], one["item"]) for one in spans]


def _first_difference(left: Sequence[Any], right: Sequence[Any]) -> int | None:
    for index, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return index
    return None if len(left) == len(right) else min(len(left), len(right))


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _at(values: Sequence[Any], index: int) -> str:
    return str(values[index]) if index < len(values) else "nothing"


def _told(value: Any, at: int | None) -> str:
    if at is None:
        return str(value)
    if isinstance(value, str):
        return f"{value[at : at + _SHOWN]!r} at character {at}"
    return f"{_at(value, at)} as number {at + 1} of {len(value)}"
