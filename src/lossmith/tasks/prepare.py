"""Sources to tokenised rows: the data room's work with the model's tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossmith.config.load import require_complete
from lossmith.config.model import ModelConfig
from lossmith.config.objective import WrittenTerm, written_terms
from lossmith.config.schema import Config
from lossmith.data.chat_template import CHAT_TEMPLATE
from lossmith.data.export import export_records
from lossmith.data.prepare import Prepared, prepare_data
from lossmith.data.records import SPLITS
from lossmith.errors import DataError, nearest, unknown_name
from lossmith.models.base_tokenizer import load_tokenizer, tokenizer_key
from lossmith.models.pretrained import is_encoder_decoder
from lossmith.names import TASKS
from lossmith.tasks.rows import records_by_task
from lossmith.tasks.task import task_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def starting_model(config: Config) -> ModelConfig:
    """The model that training starts from: the configured base, or the weights that `train.init_from` names.

    A scratch base has the shape that its task asks for. The adapter is that of the configured base: a scratch model
    that goes on from its own weights still trains them all.
    """
    start = config.train.init_from if config.train else None
    if start is None:
        shape = config.model.architecture or TASKS[config.task.kind].way(config.task.method).architecture
        return config.model.model_copy(update={"architecture": shape if config.model.is_scratch else None})
    folder = Path(start).expanduser()
    inner = folder / "model"
    base = str(inner if inner.is_dir() else folder)
    return config.model.model_copy(update={"base": base, "adapter": config.model.resolved_adapter})


def reads_sources(config: Config) -> bool:
    """Whether an encoder reads the prompt and a decoder of its own writes the answer."""
    return config.task.kind == "seq2seq" and is_encoder_decoder(starting_model(config))


def needs_tokenizer(config: Config) -> bool:
    """Whether records become tokens: always, but for documents that are cut to sentences, lines or words."""
    return config.task.kind != "retrieval" or config.data.chunks.by == "tokens"


def prepare_config(config: Config, *, progress: Callable[[int, int | None], None] | None = None) -> Prepared:
    """Prepared rows of every split; done once for the same inputs.

    Raises ConfigError where data.files or model.base is missing, DataError where the sources are not as described, or
    hold a record whose task the objective has no term for.
    """
    require_complete(config)
    model = starting_model(config)

    def tokenizer_for(texts: Callable[[], Iterator[str]]) -> PreTrainedTokenizerBase | None:
        if not needs_tokenizer(config):
            return None
        tokenizer = load_tokenizer(model, chat_template=CHAT_TEMPLATE, texts=texts)
        task_of(config).check_tokenizer(tokenizer, str(model.base))
        return tokenizer

    prepared = prepare_data(
        config,
        tokenizer_for=tokenizer_for,
        tokenizer_key=tokenizer_key(model, chat_template=CHAT_TEMPLATE) if needs_tokenizer(config) else "",
        apart=reads_sources(config),
        progress=progress,
    )
    if config.train is not None:
        check_tasks(prepared, written_terms(config.objective))
    return prepared


def export_config(
    config: Config,
    prepared: Prepared,
    path: Path,
    *,
    split: str | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> int:
    """Write the records of a split, or all, as their template renders them, one JSON object a line; returns how many.

    Raises InputError for a split that there is none of.
    """
    if split not in (None, *SPLITS):
        raise unknown_name("split", str(split), SPLITS)
    return export_records(config, prepared_tokenizer(prepared), path, split=split, progress=progress)


def prepared_tokenizer(prepared: Prepared) -> Any:
    """The tokenizer that the rows were written with, None where they were written without one."""
    if prepared.tokenizer is None:
        return None
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(prepared.tokenizer))  # a folder of the cache  # nosec B615


def check_tasks(prepared: Prepared, terms: Sequence[WrittenTerm]) -> None:
    """Refuse a record whose task no term is for, and terms for a task that no training record has.

    Raises DataError with the records of each task.
    """
    named = list(dict.fromkeys(term.task for term in terms if term.task is not None))
    if not named:
        return
    files = {split: prepared.split_file(split) for split in ("train", "validation")}
    counts = {split: records_by_task(file) for split, file in files.items() if file is not None}
    there = counts.get("train", {})
    for task in named:
        if task not in there:
            near = nearest(task, [each for each in there if each is not None])
            raise DataError(
                f"no training record is of the task '{task}', which objective.by_task has terms for",
                got=task,
                expected=_told(there),
                fix=f"did you mean '{near}'?" if near else "look at the values of the column data.task",
            )
    if any(term.task is None and term.weight for term in terms):
        return
    for split, found in counts.items():
        uncovered = {task: count for task, count in found.items() if task not in named}
        if uncovered:
            beside = "objective.cross_entropy=1, which is for all records that by_task does not name"
            named_too = next((f"objective.by_task.{task}.cross_entropy=1, or " for task in uncovered if task), "")
            raise DataError(
                f"{sum(uncovered.values())} {split} records are of a task that no term is for",
                got=_told(uncovered),
                expected=f"terms for every record; objective.by_task names {', '.join(named)}",
                fix=named_too + beside,
            )


def _told(counts: Mapping[str | None, int]) -> str:
    return ", ".join(f"{'without a task' if task is None else task} ({count})" for task, count in counts.items())
