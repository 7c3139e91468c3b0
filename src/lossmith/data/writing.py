"""The second pass: records are rendered, tokenised and written, a bounded group of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lossmith.data.audit.tally import Tally
from lossmith.data.cells import ColumnType
from lossmith.data.head_template import HeadTemplate
from lossmith.data.label_answers import Answers, LabelAnswers
from lossmith.data.labelling import Labelling
from lossmith.data.plan import Plan, planned_records
from lossmith.data.records import SPLITS, Problem, Record
from lossmith.data.rejected import Rejections
from lossmith.data.rejection import RecordError
from lossmith.data.rendered import Chunked, Encoded
from lossmith.data.retrieval_template import RetrievalTemplate
from lossmith.data.scan import Progress, cell_columns
from lossmith.data.template import Template

AnyTemplate = Template | HeadTemplate | RetrievalTemplate

BATCH_RECORDS = 64
GROUP_ROWS = 1024
GROUP_TOKENS = 1 << 18
GROUP_CHARACTERS = 1 << 22

_INTERVAL = pa.struct([("start", pa.int32()), ("end", pa.int32())])
_SPAN = pa.struct([("name", pa.string()), ("start", pa.int32()), ("end", pa.int32()), ("item", pa.int32())])


_TOKENS = (
    ("input_ids", pa.list_(pa.int32())),
    ("prompt_length", pa.int32()),
    ("pair_start", pa.int32()),
    ("supervised", pa.list_(_INTERVAL)),
    ("spans", pa.list_(_SPAN)),
)
_CHUNKS = (("pair", pa.string()), ("chunks", pa.list_(_INTERVAL)))


def schema_of(
    types: Mapping[str, ColumnType],
    *,
    labelling: Labelling | None = None,
    weighted: bool = False,
    answered: bool = False,
    chunked: bool = False,
) -> pa.Schema:
    """Columns of a prepared file; `types` are those of its `cell_columns`.

    With `answered`, `answers` holds for each class the token ids that say it, in one or more ways. With `chunked` a row
    has the chunks of its document as characters in place of tokens.
    """
    label = [] if labelling is None else [("label", pa.list_(pa.int8()) if labelling.multi_label else pa.string())]
    return pa.schema(
        [
            *((name, pa.string()) for name in ("id", "group", "cluster", "task")),
            *label,
            *([("weight", pa.float64())] if weighted else []),
            *((name, kind.arrow()) for name, kind in types.items()),
            *((name, pa.string()) for name in ("prompt", "target")),
            *(_CHUNKS if chunked else _TOKENS),
            *([("answers", pa.list_(pa.list_(pa.list_(pa.int32()))))] if answered else []),
            ("error", pa.string()),
        ]
    )


def write_splits(
    plan: Plan,
    template: AnyTemplate,
    tokenizer: Any,
    folder: Path,
    *,
    rejections: Rejections,
    answers: LabelAnswers | None = None,
    progress: Progress | None = None,
) -> dict[str, Tally]:
    """Write <split>.parquet for every split that has a record, and count what is written."""
    chunked = isinstance(template, RetrievalTemplate)
    batch = 1 if chunked else BATCH_RECORDS  # a document may be long, and is cut by itself
    end_ids = template.stop_ids(tokenizer)
    judged = None if plan.labelling is None else template.judged_variables
    tallies = {name: Tally(end_ids, judged=judged, paired=bool(plan.data.pairs)) for name in SPLITS}
    weighted, answered = plan.data.weight is not None, answers is not None
    schema = schema_of(plan.scan.types, labelling=plan.labelling, weighted=weighted, answered=answered, chunked=chunked)
    cells = cell_columns(plan.data, plan.labelling)
    waiting: dict[str, list[_Waiting]] = {name: [] for name in SPLITS}
    with ExitStack() as stack:
        files = {name: stack.enter_context(SplitFile(folder / f"{name}.parquet", schema)) for name in SPLITS}

        def encode(rendered: list[Any], predicting: bool) -> Sequence[Encoded | Chunked | RecordError]:
            if isinstance(template, RetrievalTemplate):
                return template.cut(rendered, tokenizer)
            limit, truncation = plan.data.prompt_length, plan.data.truncation
            return template.encode(rendered, tokenizer, max_length=limit, truncation=truncation, predicting=predicting)

        def write(split: str) -> None:
            for item, encoded in _encode(waiting[split], encode, rejections):
                tallies[split].add(item.record, encoded, item.copies)
                if isinstance(encoded, Encoded) and encoded.truncation == "dropped":
                    continue
                row = _row(item.record, encoded, plan, cells)
                if answers is not None and item.answers is not None and isinstance(encoded, Encoded):
                    answers.check(item.record, item.answers, encoded)
                    row["answers"] = item.answers
                files[split].add(row, item.copies)
            waiting[split].clear()

        for record, copies in planned_records(plan, progress=progress):
            try:
                rendered = template.render(record, tokenizer)
                own = answers.ids(record, rendered) if answers is not None else None
            except RecordError as error:
                rejections.add(record.file, record.line, Problem.of(error), id=record.id)
                continue
            waiting[record.split].append(_Waiting(record, copies, rendered, own))
            if len(waiting[record.split]) >= batch:
                write(record.split)
        for split in SPLITS:
            write(split)
    return tallies


class _Waiting(NamedTuple):
    """A record that waits for its batch, as its template renders it, and the answers it could get."""

    record: Record
    copies: int
    rendered: Any
    answers: Answers | None


def _encode(
    waiting: Sequence[_Waiting],
    encode: Callable[[list[Any], bool], Sequence[Encoded | Chunked | RecordError]],
    rejections: Rejections,
) -> Iterator[tuple[_Waiting, Encoded | Chunked]]:
    if not waiting:
        return
    encoded = encode([item.rendered for item in waiting], waiting[0].record.split != "train")
    for item, result in zip(waiting, encoded, strict=True):
        if isinstance(result, RecordError):
            rejections.add(item.record.file, item.record.line, Problem.of(result), id=item.record.id)
        else:
            yield item, result


class SplitFile:
    """A parquet file written in groups of rows, bounded in rows, tokens and characters; absent where no row came."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path = path
        self._schema = schema
        self._writer: pq.ParquetWriter | None = None
        self._rows: list[dict[str, Any]] = []
        self._tokens = self._characters = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        if self._writer is not None:
            self._writer.close()

    def add(self, row: dict[str, Any], copies: int) -> None:
        """Take a row, `copies` times."""
        for _ in range(copies):
            self._rows.append(row)
            self._tokens += len(row.get("input_ids", ()))
            self._characters += len(row["prompt"])
            if len(self._rows) >= GROUP_ROWS or self._tokens >= GROUP_TOKENS or self._characters >= GROUP_CHARACTERS:
                self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, self._schema, compression="zstd")
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows, self._tokens, self._characters = [], 0, 0


def _row(
    record: Record, encoded: Encoded | Chunked, plan: Plan, cells: Mapping[str, Callable[[Record], Any]]
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": record.id,
        "group": record.group,
        "cluster": record.cluster,
        "task": record.task,
        "prompt": encoded.prompt,
        "target": encoded.target,
        "error": None,
        **(_chunk_cells(encoded) if isinstance(encoded, Chunked) else _token_cells(encoded)),
    }
    if plan.labelling is not None:
        row["label"] = record.label
    if plan.data.weight is not None:
        row["weight"] = record.weight
    for name, read in cells.items():
        row[name] = plan.scan.types[name].convert(read(record))
    return row


def _token_cells(encoded: Encoded) -> dict[str, Any]:
    cells: dict[str, Any] = {
        "input_ids": np.asarray(encoded.input_ids, dtype=np.int32),
        "prompt_length": encoded.prompt_length,
        "pair_start": encoded.pair_start,
        "supervised": [{"start": start, "end": end} for start, end in encoded.supervised],
        "spans": [{"name": s.name, "start": s.start, "end": s.end, "item": s.item} for s in encoded.spans],
    }
    if encoded.truncation == "prompt_too_long":
        cells["error"] = "nothing of the prompt fits into data.max_length"
    return cells


def _chunk_cells(chunked: Chunked) -> dict[str, Any]:
    return {"pair": chunked.pair, "chunks": [{"start": start, "end": end} for start, end in chunked.chunks]}
