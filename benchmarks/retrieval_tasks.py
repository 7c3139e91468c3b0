"""The retrieval classifier against its baselines on real documents: unfair terms of service, screening for reviews.

    python benchmarks/retrieval_tasks.py --data FOLDER --model tfidf-svd ENCODER [--sets NAME ...]

Unfair terms (terms/iris) are cross-validated over companies: the documents of a company are judged by a model that saw
none of them. Screening (screening/iris) is one split. Every way learns the same training records and is scored on the
same test records by the code that scores every run; a difference is the classifier's value less the other's, paired,
with an interval by bootstrap over clusters (companies) or records.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import machine_facts, table, write_json

SCREENING = ("Bannach-Brown_2019.csv", "Nagtegaal_2019.csv", "Kitchenham_2010.csv")
EVERY = ("train.logging_steps=100", "tracking.report_to=[]", "data.max_rejected=0.1", "data.split.seed=0")
AGAINST = ("mean_pool", "tfidf_logistic_regression", "training_prior")


@dataclass(frozen=True)
class Documents:
    """A preset, its documents, and whether folds are made of them."""

    preset: str
    given: tuple[str, ...]
    folds: bool


def sets_in(folder: Path) -> dict[str, Documents]:
    """The sets of the data folder."""
    screening = ", ".join(str(folder / "review_screening" / name) for name in SCREENING)
    terms = f"data.files={folder / 'tos_unfair' / 'tos_sentences.jsonl'}"
    return {
        "unfair terms": Documents("terms/iris", (terms, "cv.processes=1"), folds=True),
        "review screening": Documents(
            "screening/iris", (f"data.files=[{screening}]", "data.label=label_included"), folds=False
        ),
    }


def carried_out(name: str, one: Documents, model: str, flags: argparse.Namespace) -> tuple[Path, float]:
    """The folder that holds the set's metrics.json, and how many seconds training took in all its runs."""
    import lossmith
    from lossmith.runs import RunFolder

    slug = "-".join([*name.split(), Path(model).name])
    base = "model=tfidf-svd" if model == "tfidf-svd" else f"model.base={model}"
    given = [*EVERY, *one.given, base, f"seed={flags.seed}", f"runs_dir={flags.runs}", f"name={slug}", *flags.set]
    if one.folds:
        study = lossmith.cv(one.preset, given)
        folder = Path(study["path"])
        runs = [folder / row["path"] for row in study["runs"]]
    else:
        folder = lossmith.run(one.preset, given, quiet=True)
        runs = [folder]
    return folder, sum(RunFolder(run).manifest()["stages"]["train"]["seconds"] for run in runs)


def measured(name: str, model: str, folder: Path, seconds: float) -> list[dict[str, Any]]:
    """A row for the classifier and for each of its baselines: value, interval, and the paired difference."""
    from lossmith.runs import read_json

    metrics = read_json(folder / "metrics.json")
    first = metrics["asked"][0]
    shared = {"set": name, "encoder": Path(model).name, "metric": first, "n": metrics["n"]}
    own = {key: metrics["metrics"][first][key] for key in ("value", "low", "high")}
    rows = [{**shared, "way": "queries", **own, "clusters": metrics["clusters"], "train_seconds": seconds}]
    for other in AGAINST:
        if other in metrics["baselines"]:
            theirs = {key: metrics["baselines"][other][first][key] for key in ("value", "low", "high")}
            rows.append({**shared, "way": other, **theirs, "against": metrics["against_baselines"][other]})
    return rows


def told(row: dict[str, Any]) -> dict[str, object]:
    """A row of the printed table."""
    apart = row.get("against")
    return {
        "set": row["set"], "encoder": row["encoder"], "way": row["way"], "records": row["n"],
        row["metric"]: row["value"],
        "95 % interval": f"{row['low']:.3f} to {row['high']:.3f}",
        "queries are better by": "" if apart is None else f"{apart['difference']:+.3f}",
        "of which 95 %": "" if apart is None else f"{apart['low']:+.3f} to {apart['high']:+.3f}",
        "training s": row.get("train_seconds"),
    }  # fmt: skip


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--model", nargs="+", default=["tfidf-svd"], help="tfidf-svd, or folders of sentence encoders")
    parser.add_argument("--sets", nargs="*", help="beginnings of the sets' names; all where none is given")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="overrides of every configuration")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=Path("runs/retrieval-benchmark"))
    parser.add_argument("--json", type=Path)
    flags = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name, one in sets_in(flags.data).items():
        wanted = not flags.sets or any(name.startswith(each) for each in flags.sets)
        for model in flags.model if wanted else ():
            rows += measured(name, model, *carried_out(name, one, model, flags))
            print(table([told(row) for row in rows]), flush=True)
            write_json(flags.json, {"machine": machine_facts(), "rows": rows})


if __name__ == "__main__":
    main()
