"""What a model is held against: what needs none, and runs that are named (the base model before it was tuned)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from lossmith.config.schema import Config
from lossmith.errors import InputError, unknown_name
from lossmith.evaluate.class_baselines import CLASS_BASELINES, class_decisions
from lossmith.evaluate.mean_pool import ABOUT, MEAN_POOL, has_mean_pool, mean_pool_folder
from lossmith.evaluate.measures import Measure
from lossmith.evaluate.predictions import Predictions, aligned, read_predictions
from lossmith.runs import RunFolder

BASELINES: Mapping[str, str] = {
    "prompt_copied": "the prompt as the answer",
    "nearest_training_record": "the target of the training record whose prompt is nearest (TF-IDF, cosine)",
}
_CELLS = 1 << 22  # similarities held at once


@dataclass(frozen=True)
class Baseline:
    """What it says of the records, and what of that is its own: texts, decisions, or with another run's file all."""

    predictions: Predictions
    about: str
    own: Literal["texts", "outcomes", "all"]

    def has(self, measure: Measure) -> bool:
        """Whether it can be measured so."""
        # A metric of the user's own reads the table, in which a baseline's texts stand and its decisions do not.
        held = {"texts": ("texts", "table"), "outcomes": ("outcomes",), "all": ("texts", "outcomes", "table")}
        return measure.reads in held[self.own]


@dataclass(frozen=True)
class Baselines:
    """Baselines by name, why the others could not be given, and what must be said of them."""

    given: dict[str, Baseline] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def find_baselines(
    config: Config, predictions: Predictions, folder: RunFolder, *, split: str, prepared: Path | None
) -> Baselines:
    """What the baselines say of the records of `predictions`; `prepared` is the folder of prepared rows.

    A run named among them is a baseline where it has predictions for the same records; so is the one that a retrieval
    run trains inside its `folder`. Raises InputError for a name that is none, and for a run that is not there.
    """
    found = Baselines()
    asked = config.evaluate
    names = check_baselines(config, classifies=predictions.classes is not None)
    runs = {
        name: (named_run(name, folder, where="evaluate.baselines"), f"the run {name}") for name in names if "/" in name
    }
    if MEAN_POOL in names:
        runs[MEAN_POOL] = mean_pool_folder(folder), ABOUT
    for name, (other, about) in runs.items():
        try:
            theirs = read_predictions(other.predictions(split), smallest_group=asked.smallest_group)
            found.given[name] = Baseline(aligned(predictions, theirs), about, "all")
        except InputError as error:
            found.absent[name] = error.message
    own = [name for name in names if name not in runs]
    if predictions.classes is not None:
        decided = class_decisions(own, predictions, prepared, asked, split=split)
        for name, outcomes in decided.outcomes.items():
            found.given[name] = Baseline(predictions.deciding(outcomes), CLASS_BASELINES[name], "outcomes")
        found.absent.update(decided.absent)
        found.notes.extend(decided.notes)
        return found
    for name in own:
        texts = _answers(name, predictions, None if prepared is None else prepared / "train.parquet")
        if isinstance(texts, str):
            found.absent[name] = texts
        else:
            found.given[name] = Baseline(predictions.answering(texts), BASELINES[name], "texts")
    return found


def check_baselines(config: Config, *, classifies: bool | None = None) -> list[str]:
    """The baselines that a configuration asks for, each once; `auto` stands for all that fit.

    `classifies` tells of predictions that are there already. Raises InputError for a name that is neither a baseline of
    the task nor, with a slash, a run folder.
    """
    classifies = config.classifies if classifies is None else classifies
    known = [*(CLASS_BASELINES if classifies else BASELINES), *([MEAN_POOL] if has_mean_pool(config) else [])]
    wanted = config.evaluate.baselines
    names: list[str] = []
    for name in [wanted] if isinstance(wanted, str) else wanted:
        if name == "auto":
            names.extend(known)
        elif "/" in name or name in known:
            names.append(name)
        elif name != "none":
            raise unknown_name("baseline", name, [*known, "runs/NAME"], where="evaluate.baselines")
    return list(dict.fromkeys(names))


def named_run(name: str, folder: RunFolder, *, where: str) -> RunFolder:
    """The run of a configuration's path: as it is from here, or beside the run in `folder`.

    Raises InputError where it is not there.
    """
    beside = folder.path.resolve().parent
    for path in (Path(name), beside.parent / name, beside / Path(name).name):
        if path.is_dir():
            return RunFolder(path)
    raise InputError(
        f"{where} names a run that is not there",
        got=name,
        expected="a run folder",
    )


def _answers(name: str, predictions: Predictions, train_file: Path | None) -> list[str] | str:
    """The texts of a baseline, or why it has none."""
    prompts = _prompts(predictions)
    if not any(prompts):
        return "the records have no prompt"
    if name == "prompt_copied":
        return prompts
    if train_file is None or not train_file.exists():
        return "there is no prepared training split"
    train_prompts, train_targets = _training_records(train_file)
    if not train_prompts:
        return "the training split is empty"
    return [train_targets[place] for place in nearest_prompts(prompts, train_prompts)]


def nearest_prompts(prompts: Sequence[str], candidates: Sequence[str]) -> list[int]:
    """For each prompt the position of the nearest candidate: cosine of TF-IDF vectors, the first among
    equals.

    Words of more than 9 in 10 candidates are the template's and left out, unless no other word remains.

    >>> nearest_prompts(["soup of peas"], ["apple pie", "pea soup of peas", "bread"])
    [1]
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, max_df=0.9, token_pattern=r"(?u)\b\w+\b")
    try:
        known = vectorizer.fit_transform(candidates)
    except ValueError:  # no word is left
        vectorizer.set_params(max_df=1.0)
        try:
            known = vectorizer.fit_transform(candidates)
        except ValueError:
            return [0] * len(prompts)
    asked = vectorizer.transform(prompts)
    block = max(1, _CELLS // len(candidates))
    nearest: list[int] = []
    for start in range(0, len(prompts), block):
        likeness = (asked[start : start + block] @ known.T).toarray()
        # Rounding in the last bits would choose among equal candidates by chance.
        nearest.extend(np.argmax(np.round(likeness, 12), axis=1).tolist())
    return nearest


def _prompts(predictions: Predictions) -> list[str]:
    if "prompt" not in predictions.table.column_names:
        return []
    return [prompt or "" for prompt in predictions.table["prompt"].to_pylist()]


def _training_records(train_file: Path) -> tuple[list[str], list[str]]:
    import pyarrow.parquet as pq

    table = pq.read_table(train_file, columns=["prompt", "target"])
    rows = zip(table["prompt"].to_pylist(), table["target"].to_pylist(), strict=True)
    # Of several references the first is the answer.
    pairs = [(prompt or "", target if isinstance(target, str) else target[0]) for prompt, target in rows if target]
    return [prompt for prompt, _ in pairs], [target for _, target in pairs]
