"""Rendered records as JSON lines, for tools that tokenise by themselves."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lossmith.config.schema import Config
from lossmith.data.plan import planned_records
from lossmith.data.prepare import plan_data, template_of
from lossmith.data.rejected import Rejections
from lossmith.data.rejection import RecordError
from lossmith.data.scan import Progress
from lossmith.data.sources.files import list_sources
from lossmith.runs import atomic_path

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def export_records(
    config: Config,
    tokenizer: PreTrainedTokenizerBase,
    path: Path,
    *,
    split: str | None = None,
    progress: Progress | None = None,
) -> int:
    """Write every record of a split (of all without one) as its template renders it; returns how many.

    A line has `id`, `split`, `label` where there is one, and `messages`, or the texts of another template by name. A
    record that is repeated by a weight is written as often; what cannot be rendered is left out, as from the prepared
    rows, whose rejected.jsonl tells it. Nothing is cut or left out for its length: that is a matter of the tokenizer.
    Raises DataError as preparation does.
    """
    template, written = template_of(config), 0
    with tempfile.TemporaryDirectory() as folder, Rejections(Path(folder) / "rejected.jsonl") as rejections:
        plan = plan_data(config, list_sources(config.data), rejections)
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as out:
            for record, copies in planned_records(plan, progress=progress):
                if split not in (None, record.split):
                    continue
                try:
                    texts = template.written(record, tokenizer)
                except RecordError:
                    continue
                named = {} if plan.labelling is None else {"label": plan.labelling.fields(record.label)["label"]}
                line = json.dumps({"id": record.id, "split": record.split, **named, **texts}, ensure_ascii=False)
                out.write(f"{line}\n" * copies)
                written += copies
    return written
