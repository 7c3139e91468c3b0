"""Sources to tokenised parquet, once for the same inputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from lossmith.config.data import DataConfig
from lossmith.config.schema import Config
from lossmith.data.audit.summary import summarise
from lossmith.data.audit.tally import Tally
from lossmith.data.cache import built_whole, cache_folder, locked
from lossmith.data.chunks import cutter
from lossmith.data.fields import check_mapping
from lossmith.data.fingerprint import FileFacts, fingerprint, hash_files
from lossmith.data.head_template import HeadTemplate
from lossmith.data.label_answers import LabelAnswers
from lossmith.data.labelling import Labelling, check_criterion_read, check_label_unread
from lossmith.data.plan import Plan, make_plan, planned_records, reject_duplicates
from lossmith.data.records import SPLITS
from lossmith.data.rejected import Rejections
from lossmith.data.rejection import RecordError
from lossmith.data.retrieval_template import RetrievalTemplate
from lossmith.data.scan import Progress, scan
from lossmith.data.sources.files import Source, list_sources
from lossmith.data.template import Template
from lossmith.data.writing import AnyTemplate, write_splits
from lossmith.errors import DataError
from lossmith.labels import Classes
from lossmith.runs import write_json

TRIED_RECORDS = 20
CLASSES = "classes.json"

Texts = Callable[[], Iterator[str]]
TokenizerFor = Callable[[Texts], Any]  # a tokenizer, or None where none is needed


@dataclass(frozen=True)
class Prepared:
    """A prepared folder: <split>.parquet, audit.json, rejected.jsonl, fingerprint.json, tokenizer/, and classes.json
    where the task is a classification.

    `files` are the source files as they were read: path, sha256 and bytes. `reused` says that nothing was built.
    """

    folder: Path
    fingerprint: str
    audit: dict[str, Any]
    template_hash: str
    files: list[dict[str, Any]]
    classes: Classes | None = None
    reused: bool = False

    def split_file(self, split: str) -> Path | None:
        """The parquet file of a split, or None where it has no records."""
        path = self.folder / f"{split}.parquet"
        return path if path.exists() else None

    @property
    def counts(self) -> dict[str, int]:
        """Rows by split; a record repeated by a weight counts as often as it is written."""
        splits = self.audit["splits"]
        return {name: splits[name]["records"] + splits[name]["repeated"] for name in SPLITS}

    @property
    def tokenizer(self) -> Path | None:
        """The tokenizer that the rows were written with, None where none was needed: to cut documents to sentences."""
        folder = self.folder / "tokenizer"
        return folder if folder.is_dir() else None


def prepare_data(
    config: Config,
    *,
    tokenizer_for: TokenizerFor,
    tokenizer_key: str,
    apart: bool = False,
    progress: Progress | None = None,
) -> Prepared:
    """Tokenised rows of every split, with their audit.

    `tokenizer_for` is given a function that yields the training texts each time it is called, and returns the
    tokenizer, None where documents are cut without one; `tokenizer_key` stands for that tokenizer in the fingerprint.
    With `apart` an encoder reads prompts and a decoder writes answers.
    `progress` is told the records done and their number, or None while that is not known. The same inputs are prepared
    once, by one process; a second waits.

    Raises DataError where the sources are not as the configuration says, or more than data.max_rejected of the
    records cannot be used.
    """
    data = config.data
    check_mapping(data)
    labelling = Labelling.of(config)
    template = template_of(config, apart=apart)
    if labelling is not None:
        check_label_unread(labelling, data.fields, template.prompt_variables)
        check_criterion_read(data.pairs, template.prompt_variables)
    sources = list_sources(data)
    files = hash_files(sources, cache_folder())
    key = fingerprint(config, sources, files, keys=[tokenizer_key, _template_texts(template)])
    folder = cache_folder() / "prepared" / key
    if (found := _find(folder, files)) is not None:
        return found
    with locked(folder):
        if (found := _find(folder, files)) is not None:
            return found
        with built_whole(folder) as building:
            facts = _build(config, sources, template, building, tokenizer_for=tokenizer_for, progress=progress)
            written = {str(p.relative_to(building)): p.stat().st_size for p in building.rglob("*") if p.is_file()}
            write_json(building / "fingerprint.json", {"fingerprint": key, **facts, "written": written})
        (folder.parent / f"{key}.rejected.jsonl").unlink(missing_ok=True)
    built = _find(folder, files)
    assert built is not None, f"{folder} was renamed into place a moment ago"
    return Prepared(**{**vars(built), "reused": False})


def _build(
    config: Config,
    sources: list[Source],
    template: AnyTemplate,
    building: Path,
    *,
    tokenizer_for: TokenizerFor,
    progress: Progress | None,
) -> dict[str, Any]:
    """Fill the folder; the facts that are not in its files."""
    data, labelling = config.data, Labelling.of(config)
    key = building.name.partition(".")[0]
    with Rejections(building.parent / f"{key}.rejected.jsonl") as rejections:
        plan = plan_data(config, sources, rejections, progress=progress)
        _try_template(plan, template)
        tokenizer = tokenizer_for(lambda: _training_texts(plan, template))
        answers = LabelAnswers.of(config, labelling, plan.class_names, template=template, tokenizer=tokenizer)
        tallies = write_splits(
            plan, template, tokenizer, building, rejections=rejections, answers=answers, progress=progress
        )
        rejections.check_share(data.max_rejected)
    if config.train is not None and not tallies["train"].records:
        raise DataError(
            "no record is left to train on",
            got=f"{rejections.read} records read, {rejections.total} rejected, "
            f"{tallies['train'].truncation['dropped']} dropped for their length",
            expected="at least one training record",
            fix="look at data.files, data.split and data.max_length; train=null evaluates without training",
        )
    rejections.path.rename(building / "rejected.jsonl")
    if tokenizer is not None:
        tokenizer.save_pretrained(str(building / "tokenizer"))
    classes = _classes(labelling, plan, tallies)
    if classes is not None:
        write_json(building / CLASSES, classes.as_json())
    audit = summarise(
        tallies,
        plan,
        rejections,
        span_names=template.span_names,
        generates=isinstance(template, Template),
        classes=classes,
        doubts=template.doubts(tokenizer) if isinstance(template, HeadTemplate) else (),
    )
    write_json(building / "audit.json", audit)
    return {"template_hash": template.hash(tokenizer)}


def plan_data(
    config: Config, sources: list[Source], rejections: Rejections, *, progress: Progress | None = None
) -> Plan:
    """Read the sources once and decide what becomes of every record.

    Raises DataError where they hold none, or too many that cannot be used.
    """
    data, labelling = _clustered(config), Labelling.of(config)
    scanned = scan(sources, data, rejections, labelling=labelling, progress=progress)
    reject_duplicates(sources, data, scanned, rejections)
    rejections.check_share(data.max_rejected)
    if not rejections.read:
        raise DataError(
            "the sources hold no record",
            got=", ".join(source.name for source in sources),
            expected="records",
        )
    return make_plan(sources, data, scanned, seed=config.split_seed, labelling=labelling)


def _clustered(config: Config) -> DataConfig:
    """The data group; of a text-to-text task without clusters, records of one source are a cluster.

    A source has several targets as a rule, and a model that has seen one of them was told of the others.
    """
    data = config.data
    if data.has_clusters or not config.has_clusters:
        return data
    read = sorted(template_of(config).prompt_variables)
    return data.model_copy(update={"cluster": [data.fields.get(name, name) for name in read] or None})


def template_of(config: Config, *, apart: bool = False) -> AnyTemplate:
    """What turns records into text: into a prompt and its answer, what a head reads, or a document and its chunks."""
    if config.task.kind == "retrieval":
        return RetrievalTemplate.from_config(config.data)
    if config.reads_texts:
        return HeadTemplate.from_config(config.data)
    template = Template.from_config(config.data)
    if config.task.kind == "seq2seq":
        return template.of_pairs(apart=apart, target_length=config.data.max_target_length or config.data.max_length)
    return template


def _classes(labelling: Labelling | None, plan: Plan, tallies: Mapping[str, Tally]) -> Classes | None:
    if labelling is None:
        return None
    counts = {split: tally.class_counts(labelling, plan.class_names) for split, tally in tallies.items()}
    return labelling.classes(plan.class_names, counts, {split: tally.rows for split, tally in tallies.items()})


def _try_template(plan: Plan, template: AnyTemplate) -> None:
    """Raise the first record's error as the run's where none of the first records can be written."""
    first: RecordError | None = None
    with closing(planned_records(plan)) as planned:
        for record, _ in islice(planned, TRIED_RECORDS):
            try:
                template.training_text(record)
            except RecordError as error:
                first = first or error
            else:
                return
    if first is not None:
        raise DataError(first.message, got=first.got, expected=first.expected, fix=first.fix) from first


def _training_texts(plan: Plan, template: AnyTemplate) -> Iterator[str]:
    for record, _ in planned_records(plan):
        if record.split == "train":
            try:
                yield template.training_text(record)
            except RecordError:
                continue  # written to rejected.jsonl when it is encoded


def _find(folder: Path, files: list[FileFacts]) -> Prepared | None:
    """The folder, where it is there and whole: a file that someone removed or cut makes it absent."""
    try:
        facts = json.loads((folder / "fingerprint.json").read_text(encoding="utf-8"))
        if any((folder / name).stat().st_size != size for name, size in facts["written"].items()):
            return None
        audit = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
        labels = (
            json.loads((folder / "classes.json").read_text("utf-8")) if "classes.json" in facts["written"] else None
        )
    except (OSError, ValueError, KeyError):
        return None
    return Prepared(
        folder=folder,
        fingerprint=facts["fingerprint"],
        audit=audit,
        template_hash=facts["template_hash"],
        files=[asdict(file) for file in files],
        classes=None if labels is None else Classes.from_json(labels),
        reused=True,
    )


def _template_texts(template: AnyTemplate) -> str:
    """What the template writes, for the fingerprint: its texts may lie in files of their own."""
    parts = template.parts if isinstance(template, HeadTemplate | RetrievalTemplate) else template.form.parts
    texts = [type(template).__name__, *((part.label, part.text) for part in parts)]
    if isinstance(template, RetrievalTemplate):
        texts.append(cutter(template.chunks))
    if isinstance(template, Template) and template.sides.apart:
        texts.append("apart")
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()
