"""What the folds of a cross-validation share, looked at before anything trains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from lossmith.data.leaks import THRESHOLD, Leak, Leaks, find_leaks
from lossmith.errors import DataError
from lossmith.report.figures import count
from lossmith.studies.children import Child

_SHOWN = 5
_KEPT = 100
_FRAME = 0.9  # the share of prompts that hold a word of their template
_FEWEST = 10  # below so many prompts a word of them all tells nothing of a template


def check_leaks(
    children: Sequence[Child], *, allowed: bool, progress: Callable[[int, int | None], None] | None = None
) -> dict[str, Any]:
    """Prepare every fold, and refuse texts and clusters that stand in two folds of one repeat.

    Returns what was found, for study.json: counts, and the first pairs. Raises DataError naming records, similarity
    and what to do, unless `allowed`.
    """
    from lossmith.tasks.prepare import prepare_config

    tested: dict[int, dict[int, Path]] = {}
    for child in children:
        file = prepare_config(child.config, progress=progress).split_file("test")
        if file is None:
            raise DataError(f"{child.name} has no record to predict", got="an empty fold", fix="use fewer folds")
        tested.setdefault(child.varies["repeat"], {})[child.varies["fold"]] = file
    framed = not children[0].config.reads_texts
    found = {repeat: leaks_between(files, framed=framed) for repeat, files in tested.items()}
    if not allowed:
        for repeat, leaks in found.items():
            if leaks:
                raise refusal(leaks, again=f" (repeat {repeat})" if len(found) > 1 else "")
    return {
        "threshold": THRESHOLD,
        "repeats": [_told(leaks) for leaks in found.values()],
    }


def leaks_between(files: Mapping[int, Path], *, framed: bool) -> Leaks:
    """What the test records of folds (fold: prepared file) share.

    `framed` prompts are compared without the words of their template, which would make all of them alike.
    """
    ids: list[str] = []
    texts: list[str] = []
    clusters: list[str | None] = []
    parts: list[int] = []
    for fold, file in files.items():
        table = pq.read_table(file, columns=["id", "cluster", "prompt", "target"])
        ids += table["id"].to_pylist()
        clusters += table["cluster"].to_pylist()
        parts += [fold] * len(table)
        # A text that is learned as a whole has no prompt; a document without text has nothing to be compared by.
        whole = ("prompt", "target") if framed else ("prompt",)
        texts += [next(filter(None, row.values()), "") for row in table.select(whole).to_pylist()]
    return find_leaks(ids, without_frame(texts) if framed else texts, parts, clusters=clusters)


def without_frame(texts: Sequence[str]) -> list[str]:
    """The texts without the words that more than nine in ten of them hold; as they are where nothing else is left.

    >>> prompts = [f"Is this hateful? {word}" for word in "one two three four five six seven eight nine ten".split()]
    >>> without_frame(prompts)[:2]
    ['one', 'two']
    """
    held = Counter(word for text in texts for word in set(text.split()))
    frame = {word for word, count in held.items() if count > _FRAME * len(texts)} if len(texts) >= _FEWEST else set()
    return [" ".join(word for word in text.split() if word not in frame) or text for text in texts]


def refusal(leaks: Leaks, *, again: str = "") -> DataError:
    """The error for folds that share something."""
    parts = []
    if leaks.exact:
        parts.append(f"{count(len(leaks.exact), 'record')} with the text of one in another fold")
    if leaks.near:
        parts.append(f"{count(len(leaks.near), 'pair')} of records in two folds with nearly the same text")
    if leaks.clusters:
        parts.append(f"{count(len(leaks.clusters), 'cluster')} with records in several folds")
    shown = [_pair(leak) for leak in [*leaks.exact[:_SHOWN], *leaks.near[:_SHOWN]]]
    shown += [f"cluster '{name}' in folds {', '.join(map(str, folds))}" for name, folds in leaks.clusters[:_SHOWN]]
    return DataError(
        f"the folds leak{again}: {'; '.join(parts)}: what is measured on them would be too good",
        got="; ".join(shown),
        expected="each text, and each cluster, in one fold",
        fix="name the column of records that belong together: data.cluster=COLUMN (with --kind clustered or "
        "stratified-clustered where another kind was asked for), or leave the repeated records out; --allow-leaks goes "
        "on all the same",
    )


def _pair(leak: Leak) -> str:
    folds = f"folds {leak.parts[0]} and {leak.parts[1]}"
    return f"{leak.first} and {leak.second} ({folds}, similarity {leak.similarity:.2f})"


def _told(leaks: Leaks) -> dict[str, Any]:
    return {
        "exact": len(leaks.exact),
        "near": len(leaks.near),
        "clusters": len(leaks.clusters),
        "complete": leaks.complete,
        "pairs": [asdict(leak) for leak in [*leaks.exact, *leaks.near][:_KEPT]],
    }
