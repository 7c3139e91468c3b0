"""Terms of made-up services, a sentence a row, some of which end a contract or shut a provider's liability out."""

from __future__ import annotations

import json
import random
from pathlib import Path

PLAIN = (
    "a ride begins when the lock opens",
    "an account needs an address and a telephone number",
    "helmets are lent at the larger stations",
    "questions are answered on weekdays",
    "the newest version hangs at every station",
    "children may ride in the cargo box",
    "please keep the password to yourself",
    "money is paid back within thirty days",
)
DECISIVE = {
    "ter": ("we may terminate the contract at any time", "the provider can terminate accounts without notice"),
    "ltd": ("we are not liable for any damage", "liability for loss and damage is excluded"),
}
CRITERIA = {"ter": "the provider may terminate the contract", "ltd": "the provider is not liable for damage"}
WINDOW = 12
# What every run on them shares.
SMALL = (
    "model=tfidf-svd",
    "model.hidden_size=32",
    "task.queries=4",
    "task.k=3",
    "train.num_train_epochs=30",
    "train.learning_rate=0.02",
    "train.device=cpu",
    "tracking.report_to=[]",
    "evaluate.metrics=[roc_auc]",
    "evaluate.baselines=none",
)


def write_terms(file: Path, *, companies: int = 24, sentences: int = 36, seed: int = 0) -> Path:
    """A JSONL file; about half of the windows of 12 sentences hold a decisive one for each criterion."""
    rng = random.Random(seed)
    with file.open("w", encoding="utf-8") as out:
        for company in range(companies):
            decisive = {
                window * WINDOW + place: criterion
                for window in range(sentences // WINDOW)
                for criterion, place in zip(DECISIVE, rng.sample(range(WINDOW), len(DECISIVE)), strict=True)
                if rng.random() < 0.5
            }
            for line in range(sentences):
                criterion = decisive.get(line)
                text = rng.choice(DECISIVE[criterion] if criterion else PLAIN)
                flags = {name: int(name == criterion) for name in DECISIVE}
                row = {
                    "company": f"c{company}",
                    "line_number": line,
                    "sentence": f"{text} {rng.choice('abcdef')}{line}.",
                }
                out.write(json.dumps({**row, **flags}) + "\n")
    return file


def pairs_run(file: Path, folder: Path, *more: str) -> list[str]:
    """Overrides of a run that judges windows of these terms by both criteria."""
    criteria = ", ".join(f'{name}: "{text}"' for name, text in CRITERIA.items())
    return [
        f"data.files={file}",
        f"data.assemble={{by: company, order: line_number, text: sentence, window: {WINDOW}}}",
        f"data.pairs={{{criteria}}}",
        "data.template={text: '{{ sentence }}', pair: '{{ criterion }}'}",
        "data.chunks={by: lines, size: 1, overlap: 0}",
        "data.cluster=company",
        "data.split={validation: 0.2, test: 0.2}",
        *SMALL,
        f"runs_dir={folder / 'runs'}",
        *more,
    ]
