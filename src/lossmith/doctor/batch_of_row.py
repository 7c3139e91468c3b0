"""One prepared row, collated as training collates it, as plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lossmith.config.schema import Config
from lossmith.data.prepare import Prepared
from lossmith.doctor.inspection import Batch, Position
from lossmith.losses import Objective
from lossmith.models.precision import choose_precision
from lossmith.models.pretrained import SEQ2SEQ
from lossmith.models.skeleton import skeleton
from lossmith.tasks import causal, seq2seq
from lossmith.tasks.prepare import starting_model
from lossmith.tasks.task import Given


@dataclass(frozen=True)
class Collated:
    """The batch of a row as training has it, the same as plain numbers, and whether its prompt is learned, too."""

    tensors: Mapping[str, Any]
    batch: Batch
    supervise_prompt: bool = False


def collate_row(row: dict[str, Any], objective: Objective, tokenizer: Any) -> Collated:
    """The batch of a decoder: the state at a token predicts the token after it."""
    collate = causal.collator(objective, tokenizer)
    tensors = collate([row])
    names = ("input_ids", "attention_mask", "mask", "labels", "examples")
    return Collated(tensors, _plain(tensors, names, first=1), collate.supervise_prompt)


def collate_pair(
    row: dict[str, Any], objective: Objective, tokenizer: Any, *, config: Config, prepared: Prepared
) -> Collated:
    """The batch of an encoder-decoder: the state at a place of the target predicts the target's token there.

    What its decoder is fed is asked of the base itself, without its weights.
    """
    given = Given(config, prepared, tokenizer, choose_precision(device="cpu", dtype="float32"))
    tensors = seq2seq.collator(objective, given)([row])
    fed = seq2seq.PairInputs(skeleton(SEQ2SEQ, starting_model(config), tokenizer))(tensors)["decoder_input_ids"]
    tensors = {**tensors, "decoder_input_ids": fed}
    names = ("input_ids", "attention_mask", "targets", "decoder_input_ids", "mask", "labels", "examples")
    return Collated(tensors, _plain(tensors, names, first=row["prompt_length"]))


def _plain(tensors: Mapping[str, Any], names: tuple[str, ...], *, first: int) -> Batch:
    """`first` is the token of the row that the first hidden state predicts."""
    spans = tensors["spans"]
    shapes = {name: tuple(tensors[name].shape) for name in names}
    shapes |= {f"spans.{name}": tuple(numbers.shape) for name, numbers in spans.items()}
    hidden = tensors["mask"][0].nonzero()[:, 0].tolist()
    items = {name: numbers.tolist() for name, numbers in spans.items()}
    positions = [
        Position(place, at, at + first, label, example, tuple((name, items[name][place]) for name in items))
        for place, (at, label, example) in enumerate(
            zip(hidden, tensors["labels"].tolist(), tensors["examples"].tolist(), strict=True)
        )
    ]
    rows = {name: tuple(tensors[name][0].tolist()) for name in names if name not in ("labels", "examples")}
    return Batch(shapes=shapes, positions=tuple(positions), **rows)
