"""A trained run on the rows of a split: generated text, streamed to parquet in the order of the file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from lossmith.config.generate import GenerateConfig
from lossmith.generate.decode import generate
from lossmith.generate.restrictions import restrictions_for
from lossmith.models.load import Loaded
from lossmith.tasks.predictions_file import table_of_rows, write_rows
from lossmith.tasks.rows import Rows

# The key of the schema among the metadata of a predictions file.
ANSWER_SCHEMA = "answer_schema"
MADE = pa.schema([("prediction", pa.string()), ("error", pa.string())])


def decode_rows(
    loaded: Loaded,
    tokenizer: Any,
    rows: Rows,
    *,
    how: GenerateConfig,
    seed: int,
    schema: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[int, str, str | None]]:
    """Row number, generated text and error of each row, in order. A row that failed has an empty text and a reason.

    `schema` is what constrained decoding keeps to.
    """
    prompts, numbers, broken = [], [], {}
    for number in range(len(rows)):
        row = rows[number]
        if row.get("error"):
            broken[number] = str(row["error"])
        else:
            prompts.append(row["input_ids"][: row["prompt_length"]])
            numbers.append(number)
    made = generate(
        loaded.model,
        prompts,
        settings=how.settings(),
        eos_token_ids=loaded.end_ids,
        pad_token_id=tokenizer.pad_token_id,
        batch_size=how.batch_size,
        seed=seed,
        restrictions=restrictions_for(how, tokenizer, schema=schema),
        progress=progress,
    )
    for number in range(len(rows)):
        if number in broken:
            yield number, "", broken[number]
            continue
        output = next(made)
        text = tokenizer.decode(output.ids, skip_special_tokens=True) if output.error is None else ""
        yield number, text, output.error


def write_texts(
    rows: Rows, outputs: Iterator[tuple[int, str, str | None]], path: Path, *, schema: Mapping[str, Any] | None = None
) -> tuple[int, int]:
    """Write the predictions file; returns rows and failures. The `schema` of answers stays with the file."""
    return write_rows(rows, _as_rows(outputs), path, made=_made(schema))


def table_of_texts(
    rows: Rows, outputs: Iterator[tuple[int, str, str | None]], *, schema: Mapping[str, Any] | None = None
) -> pa.Table:
    """The same columns in memory, for metrics measured while training."""
    return table_of_rows(rows, _as_rows(outputs), made=_made(schema))


def _made(schema: Mapping[str, Any] | None) -> pa.Schema:
    return MADE if schema is None else MADE.with_metadata({ANSWER_SCHEMA: json.dumps(schema)})


def _as_rows(outputs: Iterator[tuple[int, str, str | None]]) -> Iterator[dict[str, Any]]:
    return ({"prediction": text, "error": error} for _, text, error in outputs)
