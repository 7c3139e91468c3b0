"""A sentence encoder with a class head against TF-IDF with logistic regression, on real labelled texts.

    python benchmarks/classification.py --data FOLDER --model ENCODER [--sets NAME ...] [--ways frozen tuned]

Both sides learn the same training records and are scored on the same test records by the code that scores every run.
`frozen` trains a linear head on the encoder's features, `tuned` all weights. A difference is the model's value less
that of TF-IDF, averaged over seeds, with a two-level interval (seeds, then records or their clusters); the interval of
one seed is over records alone.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from measuring import machine_facts, table, write_json

SCREENING = ("Bannach-Brown_2019.csv", "Nagtegaal_2019.csv", "Kitchenham_2010.csv")
UNFAIR = "[ltd, ter, ch, a, cr, law, j]"


@dataclass(frozen=True)
class Labelled:
    """A set of labelled texts, how it is split and weighed, and what it is judged by first."""

    given: tuple[str, ...]
    metrics: tuple[str, ...]
    tuned: bool = True


def sets_in(folder: Path) -> dict[str, Labelled]:
    """The sets of the data folder; every class weighs alike on both sides."""
    classes = ("objective={class_cross_entropy: {class_weight: balanced}}",)
    labels = ("objective={binary_cross_entropy: {pos_weight: auto}}",)
    split = ("data.split={validation: 0.1, test: 0.3, stratified: true}",)
    hate = (
        f"data.files={folder / 'hatexplain_subset' / 'hatexplain_subset.jsonl'}",
        "data.template={text: '{{ text }}'}",
    )
    screening = ", ".join(str(folder / "review_screening" / name) for name in SCREENING)
    return {
        "hatexplain, 2 classes": Labelled(
            (*hate, "data.label=label_binary", "task.positive=hate", *classes, *split), ("f1_macro", "roc_auc")
        ),
        "hatexplain, 3 classes": Labelled(
            (*hate, "data.label=label_multiclass", *classes, *split), ("f1_macro", "roc_auc")
        ),
        "davidson, 4,000 records": Labelled(
            (
                f"data.files={folder / 'davidson_hate_offensive' / 'labeled_data.csv'}", "data.limit=4000",
                "data.label=class", "data.template={text: '{{ tweet }}'}", *classes, *split,
            ),
            ("f1_macro", "roc_auc"),
        ),
        "review screening": Labelled(
            (
                f"data.files=[{screening}]", "data.label=label_included", "data.max_length=256",
                "data.template={text: '{{ [title, abstract] | select | join(\" \") }}'}", *labels, *split,
            ),
            ("pr_auc", "wss95"),
            tuned=False,
        ),
        "unfair terms": Labelled(
            (
                f"data.files={folder / 'tos_unfair' / 'tos_sentences.jsonl'}", f"data.label={UNFAIR}",
                "data.cluster=company", "data.template={text: '{{ sentence }}'}", *labels,
                "data.split={validation: 0.15, test: 0.3}",
            ),
            ("pr_auc", "f1_macro"),
        ),
    }  # fmt: skip


WAYS: dict[str, tuple[str, ...]] = {
    "frozen": (
        "model.freeze_backbone=true", "train.learning_rate=0.02", "train.num_train_epochs=20",
        "train.per_device_train_batch_size=64",
    ),
    "tuned": (
        "model.adapter=none", "train.learning_rate=5e-5", "train.num_train_epochs=3", "train.warmup_steps=0.1",
        "train.per_device_train_batch_size=16",
    ),
}  # fmt: skip
EVERY = (
    "data.truncation=cut_prompt", "data.max_length=128", "train.eval_strategy=no", "train.save_strategy=no",
    "train.load_best_model_at_end=false", "train.logging_steps=100", "tracking.report_to=[]", "evaluate.baselines=none",
    "data.split.seed=0", "data.max_rejected=0.1",
)  # fmt: skip


def measured(name: str, one: Labelled, way: str, flags: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of the table: a metric each, of the model, of TF-IDF, and of their difference."""
    import lossmith
    from lossmith.config.load import load_run_config
    from lossmith.evaluate.class_baselines import TFIDF, class_decisions
    from lossmith.evaluate.measures import find_measures
    from lossmith.evaluate.predictions import read_predictions
    from lossmith.metrics.paired import paired_bootstrap
    from lossmith.runs import RunFolder
    from lossmith.studies.over_seeds import SeedValues, difference_over_seeds, over_seeds

    folders = []
    for seed in range(flags.seeds if way == "frozen" else flags.tuned_seeds):
        slug = "".join(letter if letter.isalnum() else "-" for letter in name)
        given = [
            *EVERY, *one.given, *WAYS[way], f"model.base={flags.model}", f"train.device={flags.device}", f"seed={seed}",
            f"evaluate.metrics=[{', '.join(one.metrics)}]", f"runs_dir={flags.runs}", f"name={slug}-{way}-{seed}",
        ]  # fmt: skip
        folders.append(RunFolder(lossmith.run("classification", given, quiet=True)))
    predictions = [read_predictions(folder.predictions("test")) for folder in folders]
    config = load_run_config(folders[0].config)
    prepared = Path(folders[0].manifest()["data"]["folder"])
    said = class_decisions([TFIDF], predictions[0], prepared, config.evaluate, split="test").outcomes[TFIDF]
    baseline = replace(predictions[0], given=said)
    rows = []
    for metric, measure in find_measures(one.metrics, predictions[0].outcomes.classes).items():
        clusters = predictions[0].clusters
        scores, score = [measure.score(each) for each in predictions], measure.score(baseline)
        models = SeedValues.of(scores, clusters=clusters)
        peer = SeedValues.of([score] * len(scores), clusters=clusters)
        apart = difference_over_seeds(peer, models)
        if len(scores) == 1:
            # Of one seed the interval is that of the records alone.
            interval = paired_bootstrap(score, scores[0], clusters=clusters)
            apart |= {"low": interval.low, "high": interval.high, "interval": "paired bootstrap"}
        rows.append(
            {
                "set": name,
                "way": way,
                "metric": metric,
                "n": len(predictions[0]),
                "seeds": len(folders),
                "model": over_seeds(models),
                "tfidf": over_seeds(peer),
                "difference": apart,
                "train_seconds": [folder.manifest()["stages"]["train"]["seconds"] for folder in folders],
            }
        )
    return rows


def told(row: dict[str, Any]) -> dict[str, object]:
    """A row of the printed table."""
    apart = row["difference"]
    low, high = apart["low"], apart["high"]
    return {
        "set": row["set"], "way": row["way"], "metric": row["metric"], "test records": row["n"], "seeds": row["seeds"],
        "TF-IDF": row["tfidf"]["value"], "model": row["model"]["value"], "difference": f"{apart['difference']:+.3f}",
        "95 % interval": "-" if low is None else f"{low:+.3f} to {high:+.3f}",
        "training s": sum(row["train_seconds"]) / len(row["train_seconds"]),
    }  # fmt: skip


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--model", type=Path, required=True, help="folder of a sentence encoder")
    parser.add_argument("--sets", nargs="*", help="beginnings of the sets' names; all where none is given")
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tuned-seeds", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--runs", type=Path, default=Path("runs/classification-benchmark"))
    parser.add_argument("--json", type=Path)
    flags = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name, one in sets_in(flags.data).items():
        wanted = not flags.sets or any(name.startswith(each) for each in flags.sets)
        for way in flags.ways if wanted else ():
            if way == "tuned" and not one.tuned:
                continue
            rows += measured(name, one, way, flags)
            print(table([told(row) for row in rows]), flush=True)
            write_json(flags.json, {"machine": machine_facts(), "rows": rows})


if __name__ == "__main__":
    main()
