"""A trained retrieval classifier opened to be asked: its model, its encoder, and how it decides."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from lossmith.config.schema import Config
from lossmith.data.prepare import Prepared
from lossmith.errors import InputError
from lossmith.evidence.reading import Document, Judge, Reading, read_document
from lossmith.models.encoders.encoder import ChunkEncoder
from lossmith.models.retrieval import RetrievalClassifier
from lossmith.runs import RunFolder
from lossmith.tasks.class_labels import classes_of, head_of
from lossmith.tasks.classified import Decision
from lossmith.tasks.document_vectors import DocumentVectors, embed
from lossmith.tasks.find_row import row_table
from lossmith.tasks.retrieval import UNKNOWN
from lossmith.tasks.task import Given
from lossmith.train.decision import decision_while_training
from lossmith.train.predict import check_data, open_model
from lossmith.train.run import training_state


@dataclass(frozen=True)
class Opened:
    """What is asked, in eval mode; `given` holds configuration and prepared rows."""

    given: Given
    model: RetrievalClassifier
    judge: Judge

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @property
    def queries(self) -> int:
        """How many queries look for chunks; 0 where the mean of all chunks is read."""
        return len(self.model.queries)

    @property
    def encoder(self) -> ChunkEncoder:
        """What the model's chunks go through."""
        assert self.model.encoder is not None, "a model that was loaded has its encoder"
        return self.model.encoder

    def read(self, document: Document) -> Reading | str:
        """What the model says of a document, or why it can say nothing."""
        if document.row["error"] is not None:
            return str(document.row["error"])
        with self.given.precision.autocast():
            reading = read_document(self.model, document, self.judge.of(document.row), self.device)
        return UNKNOWN if np.isnan(reading.left.whole).any() else reading


def open_retrieval(run: RunFolder, config: Config, prepared: Prepared) -> Opened:
    """Load what a finished run of the retrieval task holds.

    Raises InputError for an unfinished training.
    """
    if config.train is not None and training_state(run) != "done":
        raise InputError(
            f"{run.path} holds no trained model", got=training_state(run), fix=f"lossmith train {run.config} --resume"
        )
    check_data(run, prepared)
    _, loaded, given = open_model(run, config, prepared)
    loaded.model.eval()
    known = run.manifest().get("decision")
    decision = Decision.from_json(known) if known else decision_while_training(given)
    assert decision is not None, "a classification decides"
    has_queries = len(loaded.model.queries) > 0
    judge = Judge(classes_of(given), decision, head_of(given).names, has_queries)
    return Opened(given, loaded.model, judge)


def require_retrieval(config: Config, run: Path) -> None:
    """Raise InputError where a run is of a task that has no evidence to show."""
    if config.task.kind != "retrieval":
        raise InputError(
            f"{run} predicts from whole texts, so there is no evidence to show",
            got=f"task.kind={config.task.kind}",
            expected="a run of task.kind=retrieval",
            fix=f"lossmith inspect {run} shows what the model sees of a record",
        )


def one_document(opened: Opened, file: Path, number: int) -> Document:
    """A row of a prepared file with its vectors; what is not in the store yet is encoded, of this row alone."""
    table = row_table(file, number)
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "document.parquet"
        pq.write_table(table, alone)
        vectors = embed(alone, opened.encoder)
        return document_of(vectors, 0, table.to_pylist()[0])


def document_of(vectors: DocumentVectors, number: int, row: dict[str, object]) -> Document:
    """The document of one row of the file that `vectors` are of."""
    return Document(row, vectors.rows(number), vectors.units(number), vectors.pair(number))
