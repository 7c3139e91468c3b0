"""What can be answered without a model: the prompt itself, and the answer to the nearest training prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from lossmith.errors import unknown_name
from lossmith.evaluate.predictions import Predictions

BASELINES: Mapping[str, str] = {
    "prompt_copied": "the prompt as the answer",
    "nearest_training_record": "the target of the training record whose prompt is nearest (TF-IDF, cosine)",
}
_CELLS = 1 << 22  # similarities held at once


@dataclass(frozen=True)
class Answers:
    """Baseline answers by name, and why the others could not be given."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


def baseline_answers(
    wanted: Literal["auto", "none"] | Sequence[str], predictions: Predictions, train_file: Path | None
) -> Answers:
    """The answers of the baselines to the records of `predictions`.

    `auto`: all of BASELINES. Raises InputError for a name that is not among them.
    """
    found = Answers()
    for name in baseline_names(wanted):
        prompts = _prompts(predictions)
        if not any(prompts):
            found.absent[name] = "the records have no prompt"
        elif name == "prompt_copied":
            found.texts[name] = prompts
        elif train_file is None or not train_file.exists():
            found.absent[name] = "there is no prepared training split"
        else:
            train_prompts, train_targets = _training_records(train_file)
            if train_prompts:
                nearest = nearest_prompts(prompts, train_prompts)
                found.texts[name] = [train_targets[place] for place in nearest]
            else:
                found.absent[name] = "the training split is empty"
    return found


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


def baseline_names(wanted: str | Sequence[str]) -> list[str]:
    """The baselines asked for, each once.

    Raises InputError for a name that is not among BASELINES.
    """
    if isinstance(wanted, str):
        wanted = {"auto": list(BASELINES), "none": []}.get(wanted, [wanted])
    for name in wanted:
        if name not in BASELINES:
            raise unknown_name("baseline", name, BASELINES, where="evaluate.baselines")
    return list(dict.fromkeys(wanted))


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
