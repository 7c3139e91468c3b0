"""The whole document that a record was cut from: its rows assembled without a window, and prepared as any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lossmith.config.schema import Config
from lossmith.data.records import SPLITS
from lossmith.errors import DataError, InputError
from lossmith.labels import CRITERION
from lossmith.tasks.find_row import numbers_of
from lossmith.tasks.prepare import prepare_config


def find_whole(
    config: Config, row: Mapping[str, Any], *, progress: Callable[[int, int | None], None] | None = None
) -> tuple[Path, int]:
    """The prepared file, and the row in it, of the whole document behind a row of `data.assemble`.

    All documents are prepared without a window, once for the same sources; which split the whole one falls into means
    nothing. A pair keeps its criterion. Raises InputError where records are not assembled from rows, or are whole
    already; DataError where the sources no longer hold the document.
    """
    assemble = config.data.assemble
    if assemble is None or assemble.window is None:
        raise InputError(
            "the records of this run are whole documents already" if assemble else "this run's records stand alone",
            got="data.assemble=null" if assemble is None else "data.assemble.window=null",
            expected="records that data.assemble cut from longer documents",
            fix="leave out --whole",
        )
    data = config.data.model_copy(
        update={
            "assemble": assemble.model_copy(update={"window": None}),
            "limit": None,
            "split": config.data.split.model_copy(update={"folds": None}),
        }
    )
    prepared = prepare_config(config.model_copy(update={"data": data}), progress=progress)
    wanted = whole_id(str(row["id"]), row.get(f"keep.{CRITERION}"))
    for split in SPLITS:
        file = prepared.split_file(split)
        if file is not None and (numbers := numbers_of(file, wanted)):
            return file, numbers[0]
    raise DataError(
        f"the sources no longer hold the document of '{row['id']}'",
        got=f"no document '{wanted}'",
        expected="the rows that this run was prepared from",
        fix="train again on what is there now",
    )


def whole_id(id: str, column: str | None) -> str:  # noqa: A002
    """The id of the first window of a document, which holds all of it when there is no window.

    >>> whole_id("Spokes:4#ter", "ter"), whole_id("a:b:12", None)
    ('Spokes:1#ter', 'a:b:1')
    """
    end = "" if column is None else f"#{column}"
    return f"{id.removesuffix(end).rpartition(':')[0]}:1{end}"
