"""Overlap in the audit: texts, prompts, near-duplicates and clusters that stand in two splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from lossmith.data.audit.tally import Tally
from lossmith.data.leaks import THRESHOLD, find_leaks
from lossmith.data.records import SPLITS

_SHOWN_PAIRS = 20


def overlaps(tallies: Mapping[str, Tally]) -> dict[str, dict[str, int]]:
    """For two splits, records of the second whose text, prompt or cluster the first holds too."""
    found = {}
    for first, second in combinations(SPLITS, 2):
        a, b = tallies[first], tallies[second]
        found[f"{first}/{second}"] = {
            "texts": int(np.isin(b.texts, a.texts).sum()),
            "prompts": int(np.isin(b.prompts, a.prompts).sum()),
            "clusters": len(np.intersect1d(a.clusters, b.clusters)),
        }
    return found


def add_near_duplicates(audit: dict[str, Any], tallies: Mapping[str, Tally]) -> None:
    """What splits of a classification share of the texts that labels are found from.

    Adds to each pair of splits `same` (records of the second whose text the first has, up to case and white space) and
    `near` (texts of the second that are nearly one of the first), and to the audit `near_duplicates` with the ids of
    the likest pairs. Without `near` where a split is too large to be compared.
    """
    for pair, shared in audit["overlap"].items():
        first, second = (tallies[split] for split in pair.split("/"))
        shared["same"] = int(np.isin(second.plain, first.plain).sum())
    kept = [(split, id_, text) for split in SPLITS for id_, text in tallies[split].compared or ()]
    if any(tally.compared is None for tally in tallies.values()):
        audit["near_duplicates"] = {"threshold": THRESHOLD, "compared": False, "complete": False, "likest": []}
        return
    parts = [SPLITS.index(split) for split, _, _ in kept]
    leaks = find_leaks([id_ for _, id_, _ in kept], [text for _, _, text in kept], parts)
    # Records come split by split, so the second of a pair is of the later one.
    near = Counter(parts for parts, _ in {(leak.parts, leak.second) for leak in leaks.near})
    for pair, shared in audit["overlap"].items():
        one, two = (SPLITS.index(split) for split in pair.split("/"))
        shared["near"] = near[one, two]
    likest = sorted(leaks.near, key=lambda leak: -leak.similarity)[:_SHOWN_PAIRS]
    audit["near_duplicates"] = {
        "threshold": THRESHOLD,
        "compared": True,
        "complete": leaks.complete,
        "likest": [
            {
                "ids": [leak.first, leak.second],
                "splits": [SPLITS[part] for part in leak.parts],
                "similarity": round(leak.similarity, 3),
            }
            for leak in likest
        ],
    }


def overlap_warnings(audit: Mapping[str, Any]) -> list[str]:
    """Sentences on texts that are repeated, in a split or across two."""
    told = []
    for name, split in audit["splits"].items():
        if split["duplicates"]:
            of = f"{split['duplicates']} of {split['records']} {name} records"
            told.append(f"{of} repeat the text of an earlier one")
    for pair, shared in audit["overlap"].items():
        first, second = pair.split("/")
        count = audit["splits"][second].get("documents", audit["splits"][second]["records"])
        # The label of a classification is found from a text, whatever a template writes around it.
        for what in ("same",) if "same" in shared else ("texts", "prompts"):
            if shared[what]:
                named = "texts" if what == "same" else what
                told.append(f"{shared[what]} of {count} {second} {named} are in {first} too")
                break
        if shared.get("near"):
            told.append(
                f"{shared['near']} of {count} {second} texts are nearly one in {first} "
                f"(at least {THRESHOLD:.0%} of their words in common)"
            )
        if shared["clusters"]:
            told.append(f"{shared['clusters']} clusters are in {first} and in {second}")
    near = audit.get("near_duplicates")
    if near is not None and not near["complete"]:
        why = "so many texts are alike that not all of them were" if near["compared"] else "a split is too large to be"
        told.append(f"{why} compared with the other splits: there may be more near-duplicates")
    return told
