"""What predictions of a run rest on: of one record, or of the whole run. Read this file to know what `explain` does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from lossmith.config.load import evidence_hash, load_run_config
from lossmith.config.schema import Config
from lossmith.data.prepare import Prepared
from lossmith.data.records import SPLITS
from lossmith.errors import InputError, unknown_name
from lossmith.evidence.opened import one_document, open_retrieval, require_retrieval
from lossmith.evidence.record import record_evidence
from lossmith.evidence.run import evidence_stage
from lossmith.evidence.whole import find_whole
from lossmith.runs import RunFolder, open_run, read_json
from lossmith.tasks.find_row import near_ids, numbers_of, read_row
from lossmith.tasks.prepare import prepare_config

Progress = Callable[[int, int | None], None]


def explain(
    run: str | Path,
    *,
    id: str | None = None,  # noqa: A002
    split: str | None = None,
    whole: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The evidence of the record `id` of a run, or without one what the run's queries look for; plain values.

    `split` (default: evaluate.split, or where the record is) is what is looked in. With `whole` the record's whole
    document is read at once, as data.assemble gives it without a window. The evidence of a run is written to
    evidence.json (evidence.SPLIT.json for another split than evaluate.split) and read from there while it is not
    stale.

    Raises InputError for a run of another task, an unfinished one, an unknown split or id (with the nearest ids).
    """
    folder = open_run(run)
    config = load_run_config(folder.config)
    require_retrieval(config, folder.path)
    if split is not None and split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    if id is not None:
        return explain_record(folder, config, id, split=split, whole=whole, progress=progress)
    if whole:
        raise InputError("a whole document is one record's", got="no id", expected="the id of a record")
    return explain_run(folder, config, split=split, progress=progress)


def explain_record(
    run: RunFolder,
    config: Config,
    id: str,  # noqa: A002
    *,
    split: str | None = None,
    whole: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """What the prediction of one record rests on; `whole`: of the document that it was cut from, with its label."""
    prepared = prepare_config(config, progress=progress)
    own, file, number = _find(prepared, id, split=split or config.evaluate.split, only=split is not None)
    if whole:
        file, number = find_whole(config, read_row(file, number), progress=progress)
    opened = open_retrieval(run, config, prepared)
    document = one_document(opened, file, number)
    return {**record_evidence(document, opened.judge, opened.read(document), split=own), "id": id, "whole": whole}


def explain_run(
    run: RunFolder, config: Config, *, split: str | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """What the queries of a run look for, and whether its predictions rest on what they find; made where stale."""
    asked = split or config.evaluate.split
    file = run.evidence(None if asked == config.evaluate.split else asked)
    made_from = evidence_hash(config, run.manifest(), split=asked)
    if file.exists() and run.manifest().get("made_from", {}).get(f"evidence.{asked}") == made_from:
        return dict(read_json(file))
    with run.lock():
        return evidence_stage(run, config, split=asked, progress=progress)


def _find(prepared: Prepared, id: str, *, split: str, only: bool) -> tuple[str, Path, int]:  # noqa: A002
    """Split, file and number of a record's row, looked for in `split` first, and with `only` nowhere else."""
    files = {name: file for name in SPLITS if (file := prepared.split_file(name)) is not None}
    for name in sorted(files, key=lambda each: each != split):
        if numbers := numbers_of(files[name], id):
            if only and name != split:
                raise InputError(
                    f"the record '{id}' is not in the {split} split",
                    got=f"--split {split}",
                    expected=f"--split {name}, where it is",
                )
            return name, files[name], numbers[0]
    known = [
        str(own) for file in files.values() for own in pq.read_table(file, columns=["id"]).column("id").to_pylist()
    ]
    near = near_ids(id, known, count=3)
    raise InputError(
        f"there is no record '{id}'",
        got=f"--id {id}",
        expected=f"one of {len(known)} records, such as '{known[0]}'",
        fix=f"did you mean {' or '.join(repr(each) for each in near)}?" if near else None,
    )
