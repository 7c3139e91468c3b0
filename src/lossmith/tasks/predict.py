"""A trained run on the rows of a split: generated text, streamed to parquet in the order of the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lossmith.config.evaluate import GenerateConfig
from lossmith.generate.decode import generate
from lossmith.runs import atomic_path
from lossmith.tasks.rows import Rows

CHUNK = 256
COLUMNS = ("id", "group", "cluster", "task", "prompt", "target", "prediction", "error")


def decode_rows(
    model: Any,
    tokenizer: Any,
    rows: Rows,
    *,
    how: GenerateConfig,
    end_ids: Sequence[int],
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[int, str, str | None]]:
    """Row number, generated text and error of each row, in order. A row that failed has an empty text and a reason."""
    prompts, numbers, broken = [], [], {}
    for number in range(len(rows)):
        row = rows[number]
        if row.get("error"):
            broken[number] = str(row["error"])
        else:
            prompts.append(row["input_ids"][: row["prompt_length"]])
            numbers.append(number)
    made = generate(
        model,
        prompts,
        settings=how.settings(),
        eos_token_ids=end_ids,
        pad_token_id=tokenizer.pad_token_id,
        batch_size=how.batch_size,
        seed=seed,
        progress=progress,
    )
    for number in range(len(rows)):
        if number in broken:
            yield number, "", broken[number]
            continue
        output = next(made)
        text = tokenizer.decode(output.ids, skip_special_tokens=True) if output.error is None else ""
        yield number, text, output.error


def write_predictions(rows: Rows, outputs: Iterator[tuple[int, str, str | None]], path: Path) -> tuple[int, int]:
    """Write the predictions file, a chunk at a time; returns rows and failures.

    Columns: id, group, cluster and task where the records have them, what is kept of the source, prompt, target,
    prediction, error. A kept column of one of these names is `keep.NAME`.
    """
    table = rows.table
    given = [n for n in ("group", "cluster", "task") if n in table.column_names and _holds_something(table, n)]
    kept = [n for n in table.column_names if n.startswith("keep.")]
    columns = ["id", *given, *kept, "prompt", "target"]
    facts = table.select(columns).rename_columns([_told_as(n) for n in columns])
    schema = facts.schema.append(pa.field("prediction", pa.string())).append(pa.field("error", pa.string()))
    failures, done = 0, 0
    texts: list[str] = []
    errors: list[str | None] = []
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:

        def flush() -> None:
            nonlocal done
            part = facts.slice(done, len(texts))
            part = part.append_column("prediction", pa.array(texts, pa.string()))
            writer.write_table(part.append_column("error", pa.array(errors, pa.string())))
            done += len(texts)
            texts.clear()
            errors.clear()

        for _, text, error in outputs:
            texts.append(text)
            errors.append(error)
            failures += error is not None
            if len(texts) >= CHUNK:
                flush()
        flush()
    return done, failures


def _told_as(column: str) -> str:
    own = column.removeprefix("keep.")
    return column if own in COLUMNS else own


def _holds_something(table: pa.Table, name: str) -> bool:
    return bool(table[name].null_count < table.num_rows)


def as_table(rows: Rows, outputs: Iterator[tuple[int, str, str | None]]) -> pa.Table:
    """The same columns in memory, for metrics measured while training."""
    results = list(outputs)
    table = rows.table.select(
        [n for n in ("id", "group", "cluster", "prompt", "target") if n in rows.table.column_names]
    )
    table = table.append_column("prediction", pa.array([text for _, text, _ in results], pa.string()))
    return table.append_column("error", pa.array([error for *_, error in results], pa.string()))
