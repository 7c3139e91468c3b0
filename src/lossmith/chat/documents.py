"""A retrieval classifier: a document, cut to chunks, to the probability of each class and the chunks it rests on."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lossmith.chat.asking import Kind, Question, Reply, Tell
from lossmith.chat.judging import ClassAnswerer
from lossmith.config.generate import GenerateConfig
from lossmith.data.retrieval_template import RetrievalTemplate
from lossmith.evidence.opened import document_of
from lossmith.evidence.reading import Judge, read_document
from lossmith.evidence.record import record_evidence
from lossmith.models.retrieval import RetrievalClassifier
from lossmith.tasks.document_vectors import embed
from lossmith.tasks.retrieval import UNKNOWN

_CHUNKS = pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32())]))
_COLUMNS = pa.schema([("prompt", pa.string()), ("pair", pa.string()), ("chunks", _CHUNKS)])


@dataclass(frozen=True, kw_only=True)
class DocumentReader(ClassAnswerer):
    """A document, beside it the text of a criterion where the run is of pairs, to classes and evidence."""

    kind: Kind = "retrieval"
    model: RetrievalClassifier

    def answer(
        self, question: Question, *, how: GenerateConfig | None = None, seed: int = 0, tell: Tell | None = None
    ) -> Reply:
        """The class that the scores decide on, and every chunk that was read, the most important first."""
        row = self._row(question)
        with tempfile.TemporaryDirectory() as folder:
            # Vectors are read from the store by the rows of a file.
            file = Path(folder) / "typed.parquet"
            pq.write_table(pa.Table.from_pylist([row], schema=_COLUMNS), file)
            document = document_of(embed(file, self._encoder), 0, row)
        criterion = self.stored.criterion(question)
        judge = Judge(self.judge.classes, self.judge.decision.of(criterion), self.judge.outputs, self.judge.has_queries)
        with self.precision.autocast():
            reading = read_document(self.model, document, judge, self.precision.device)
        if np.isnan(reading.left.whole).any():
            return Reply(error=UNKNOWN)
        found = record_evidence(document, judge, reading, split="typed")
        notes = self.stored.notes(question)
        return Reply(predicted=found["predicted"], scores=found["scores"], evidence=found["evidence"], notes=notes)

    @property
    def _encoder(self) -> Any:
        assert self.model.encoder is not None, "a model that was loaded has its encoder"
        return self.model.encoder

    def _row(self, question: Question) -> dict[str, Any]:
        template = self.stored.template
        assert isinstance(template, RetrievalTemplate), "it is the retrieval task's"
        record = self.stored.record(question)
        [cut] = template.cut([template.render(record, self.tokenizer)], self.tokenizer)
        chunks = [{"start": start, "end": end} for start, end in cut.chunks]
        return {"id": record.id, "prompt": cut.prompt, "pair": cut.pair, "chunks": chunks, "label": record.label}
