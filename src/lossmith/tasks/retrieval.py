"""Classification of long documents by learnt queries: stored vectors of chunks in, classes and their evidence out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from lossmith.config.model import ModelConfig
from lossmith.data.criteria import criteria_of
from lossmith.errors import DataError, InputError, LossmithError
from lossmith.losses import Objective, Outputs
from lossmith.metrics.evidence import asked_about, by_importance, importance
from lossmith.models.adapters import count_parameters
from lossmith.models.hidden import unwrap
from lossmith.models.leave_one_out import Left, leave_one_out
from lossmith.models.load import Loaded
from lossmith.models.retrieval import Retrieved
from lossmith.models.retrieval_files import holds_retrieval, load_retrieval
from lossmith.tasks.begin_retrieval import begin_retrieval
from lossmith.tasks.class_labels import Truth, check_labels, classes_of, count, head_of, of_classes, scored, weigh
from lossmith.tasks.class_parts import ACCURACY, ClassParts
from lossmith.tasks.classified import Decision, Scored, schema_of, told_of
from lossmith.tasks.document_vectors import embed, warn_of_cut
from lossmith.tasks.predictions_file import table_of_rows, write_rows
from lossmith.tasks.rows import Rows
from lossmith.tasks.task import Given, Pieces, Progress, Ready, Task, on_device
from lossmith.tasks.vector_rows import VectorCollator, VectorRows

# Chunks of a document that the predictions file names.
EVIDENCE_CHUNKS = 5
EVIDENCE = pa.list_(
    pa.struct(
        [
            ("chunk", pa.int32()),
            ("start", pa.int32()),
            ("end", pa.int32()),
            ("weight", pa.float32()),
            ("importance", pa.float32()),
        ]
    )
)
UNKNOWN = "the criterion is none of those of training, which alone have a classifier (task.criterion=heads)"


@dataclass(frozen=True)
class Read(Scored):
    """A document that was judged; `without` leaves its chunks out one by one, `units` (chunks, 2) are their characters.

    Called when predictions are written alone: to fit a threshold, nothing has to be left out.
    """

    without: Callable[[], Left] | None = None
    units: Callable[[], np.ndarray] | None = None


class RetrievalForward:
    """Carries batches of stored vectors through a retrieval classifier."""

    def __call__(self, wrapped: nn.Module, batch: dict[str, Any]) -> ClassParts:
        """Logits, labels and queries of a batch."""
        found: Retrieved = wrapped(batch["vectors"], batch["mask"], batch["pair"])
        queries: Any = unwrap(wrapped).queries
        return ClassParts(
            Outputs(
                logits=found.logits,
                labels=batch["labels"],
                queries=queries if len(queries) else None,
                groups=batch["groups"],
                keep=batch.get("keep"),
                tasks=batch["tasks"],
            )
        )

    def refresh_scale(self) -> None:
        """Nothing: no term reads embeddings."""
        return


def check(objective: Objective, rows: Mapping[str, Rows], given: Given) -> list[str]:
    """Refuse a training split with nothing to tell apart, or where some rows have a criterion and some have none."""
    for split, own in rows.items():
        without = own.table.column("pair").null_count
        if without not in (0, len(own)):
            raise DataError(
                f"some documents of the {split} split have a criterion and some have none",
                got=f"{without} of {len(own)} without",
                expected="a criterion for each document, or for none",
                fix="look at the pair of data.template",
            )
    return check_labels(objective, rows, given)


def load(model: ModelConfig, given: Given, training: bool) -> Loaded:
    """The model in a folder, or one that begins on an encoder, with queries found among the training chunks.

    Raises InputError for a folder of other labels, and for an encoder alone where the model is only asked.
    """
    folder = Path(str(model.base)).expanduser()
    notes: tuple[str, ...] = ()
    if holds_retrieval(folder):
        found = load_retrieval(folder, precision=given.precision)
        if found.shape.head != head_of(given):
            raise InputError(
                f"the classifier in {folder} tells other labels apart, or reads them otherwise",
                got=f"{', '.join(found.shape.outputs)} ({found.shape.activation})",
                expected=f"{', '.join(head_of(given).names)} ({head_of(given).activation})",
            )
    elif training:
        found, notes = begin_retrieval(model, given)
    else:
        raise InputError(
            f"{model.base} is an encoder, which has no queries and no classifier",
            got="train=null",
            expected="a trained retrieval classifier",
            fix="train it, or name the model folder of a run",
        )
    found = found.to(given.precision.device).train(training).requires_grad_(training)
    trainable, total = count_parameters(found)
    return Loaded(found, (), 0, trainable, total, notes=notes)


def ready(loaded: Loaded, row: dict[str, Any], objective: Objective, given: Given) -> Ready:
    """The forward, after made-up vectors went through the model and a row's label through the objective."""
    model, device = loaded.model, next(loaded.model.parameters()).device
    shape = model.shape
    made_up = np.eye(2, shape.width, dtype=np.float32)
    criterion = None if shape.criterion is None else made_up[0]
    if shape.criterion == "heads":
        criterion = model.criteria[0].cpu().numpy()
    batch = VectorCollator(Truth.of(objective, given))([{**row, "vectors": made_up, "criterion": criterion}])
    model.eval()
    with torch.no_grad():
        parts = RetrievalForward()(model, on_device(batch, device))
        parts.value(objective)
    model.train(any(parameter.requires_grad for parameter in model.parameters()))
    if tuple(parts.logits().shape) != (1, len(shape.outputs)) or not bool(torch.isfinite(parts.logits()).all()):
        raise LossmithError(
            "the classifier gives no logits of the classes",
            got=f"{tuple(parts.logits().shape)}, finite: {bool(torch.isfinite(parts.logits()).all())}",
            expected=f"one finite number for each of {', '.join(shape.outputs)}",
        )
    facts = {"family": "retrieval", "adapter": "none", **shape.as_json(), "encoder": model.encoder.about()}
    return Ready(RetrievalForward(), facts)


def stored(taken: Pieces, loaded: Loaded, _given: Given) -> Pieces:
    """The same with the vectors of documents in the place of their texts; what no run has encoded yet is encoded."""
    model = loaded.model
    found = {split: VectorRows(rows, embed(rows.file, model.encoder)) for split, rows in taken.rows.items()}
    for split, rows in found.items():
        warn_of_cut(rows.vectors, model.encoder, split=split)
    read = {split: {"chunks": rows.vectors.chunks, "cut": rows.vectors.cut} for split, rows in found.items()}
    criteria = model.criteria.cpu().numpy() if model.shape.criterion == "heads" else None
    assert isinstance(taken.collate, VectorCollator), "it is this task's"
    return Pieces(found, replace(taken.collate, criteria=criteria), taken.forward, {**taken.facts, "chunks": read})


def collator(objective: Objective, given: Given) -> VectorCollator:
    """Batches of rows with vectors, for all criteria."""
    return VectorCollator(Truth.of(objective, given))


@torch.no_grad()
def answers(loaded: Loaded, rows: Rows, given: Given, progress: Progress | None) -> Iterator[Scored]:
    """What the model says of every row, in order."""
    model, device = loaded.model.eval(), next(loaded.model.parameters()).device
    own = VectorRows(rows, embed(rows.file, model.encoder))
    warn_of_cut(own.vectors, model.encoder, split=rows.file.stem)
    errors = rows.table.column("error").to_pylist()
    collate, size = collator(Objective.of(()), given), given.config.generate.batch_size
    for start in range(0, len(rows), size):
        block = range(start, min(start + size, len(rows)))
        asked = [number for number in block if errors[number] is None]
        found: dict[int, np.ndarray] = {}
        if asked:
            batch = collate([own[number] for number in asked])
            logits = RetrievalForward()(model, on_device(batch, device)).logits()
            found = dict(zip(asked, logits.double().cpu().numpy(), strict=True))
        for number in block:
            if number not in found:
                yield Scored(number, error=errors[number])
            elif np.isnan(found[number]).any():
                yield Scored(number, error=UNKNOWN)
            else:
                yield Read(
                    number,
                    of_classes(found[number], given),
                    without=partial(_left, model, own, number, device),
                    units=partial(own.vectors.units, int(own.numbers[number])),
                )
        if progress is not None:
            progress(block.stop, len(rows))


def _left(model: Any, rows: VectorRows, number: int, device: torch.device) -> Left:
    row = rows[number]
    pair = None if row["criterion"] is None else torch.from_numpy(row["criterion"]).to(device)
    units = rows.vectors.units(int(rows.numbers[number]))
    return leave_one_out(model, torch.from_numpy(row["vectors"]).to(device), units, pair)


def schema(given: Given, decision: Decision) -> pa.Schema:
    """The columns of a classification, and the evidence of each document."""
    return schema_of(classes_of(given), decision).append(pa.field("evidence", EVIDENCE))


def told(rows: Rows, scored: Iterator[Scored], given: Given, decision: Decision) -> Iterator[dict[str, Any]]:
    """These columns, for each row."""
    classes, labels, criteria = classes_of(given), rows.table.column("label"), criteria_of(rows.table)
    for one in scored:
        own = decision if criteria is None else decision.of(criteria[one.row])
        columns = told_of(one, labels[one.row].as_py(), classes, own)
        yield {**columns, "evidence": _evidence(one, given, own) if isinstance(one, Read) else None}


def _evidence(one: Read, given: Given, decision: Decision) -> list[dict[str, Any]]:
    """The chunks without which the log-odds of what is asked about fall most, the largest fall first."""
    assert one.logits is not None and one.without is not None and one.units is not None
    classes, left = classes_of(given), one.without()
    predicted = decision.predicted(decision.scores(one.logits[None], classes), classes)[0]
    apart, without = (
        np.reshape([of_classes(each, given) for each in logits], (-1, len(classes)))
        for logits in (left.apart, left.without)
    )
    asked = asked_about(one.logits, predicted, classes)
    falls = importance(apart, without, asked, multi_label=classes.multi_label)
    weights = left.weights.mean(axis=0)
    order = [chunk for chunk in by_importance(falls, weights).tolist() if left.read[chunk]]
    units = one.units()
    return [
        {
            "chunk": chunk,
            "start": int(units[chunk, 0]),
            "end": int(units[chunk, 1]),
            "weight": float(weights[chunk]),
            "importance": float(falls[chunk]),
        }
        for chunk in order[:EVIDENCE_CHUNKS]
    ]


RETRIEVAL = Task(
    columns=("id", "group", "task", "label", "pair"),
    check_tokenizer=lambda _tokenizer, _base: None,
    weigh=weigh,
    check=check,
    load=load,
    collator=collator,
    count=count,
    ready=ready,
    answers=answers,
    write=lambda rows, made, path, given, decision: write_rows(
        rows, told(rows, made, given, decision), path, made=schema(given, decision)
    ),
    table=lambda rows, made, given, decision: table_of_rows(
        rows, told(rows, made, given, decision), made=schema(given, decision)
    ),
    figures=(ACCURACY,),
    unit="chunks",
    stored=stored,
    scored=scored,
)
