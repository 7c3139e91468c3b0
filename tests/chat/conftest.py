"""Runs of tiny models of every kind that can be asked: trained once, read by many tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lossmith.train.run import train
from tests.tiny_runs import TINY_MODEL

SMALL = [*TINY_MODEL, "train.max_steps=2", "data.max_length=200", "data.split={validation: 0.2, test: 0}"]
HERBS = ("basil", "thyme", "mint", "sage", "dill")
SHAPES = {
    "chat": ("causal", ["data.template={messages: [{role: user, content: '{{ herb }}?'}, {role: assistant, content: '{{ use }}'}]}"]),
    "fields": ("causal", ["data.template={prompt: '{{ herb }} in {{ dish }}: ', answer: '{{ use }}'}"]),
    "plain": ("causal", ["data.template={text: '{{ use }}'}"]),
    "pairs": ("seq2seq", ["data.template={prompt: '{{ herb }}', answer: '{{ use }}'}", "data.max_source_length=24"]),
    "head": ("classification", ["data.template={text: '{{ use }}'}", "data.label=fresh"]),
    "words": (
        "classification",
        ["task.method=label_words", "data.label=fresh", "data.template={prompt: '{{ use }} is ', answer: '{{ label_word }}'}", "objective={cross_entropy: 1}"],
    ),
    "json": (
        "classification",
        [
            "task.method=json_answer", "data.label=fresh", "objective={cross_entropy: 1}", "generate.max_new_tokens=4",
            "data.template={prompt: '{{ use }} ', answer: '{\"classification\": \"{% span \"classification\" %}{{ label_word | json_text }}{% endspan %}\"}'}",
        ],
    ),
    "messages": ("causal", ["data.messages=messages"]),
    "adapter": ("causal", ["data.template={prompt: '{{ herb }}: ', answer: '{{ use }}'}", "train.learning_rate=0.01"]),
    "documents": (
        "retrieval",
        ["data.template={text: '{{ use }}'}", "data.label=fresh", "data.chunks={by: words, size: 3, overlap: 0}", "task.queries=2", "task.k=2", "model=tfidf-svd", "model.hidden_size=8"],
    ),
    "criteria": (
        "classification",
        ["data.template={text: '{{ use }}', pair: '{{ criterion }}'}", "data.pairs={keeps: 'Does it keep?', sweet: 'Is it sweet?'}"],
    ),
}  # fmt: skip


@pytest.fixture(scope="session")
def herbs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("herbs") / "herbs.jsonl"
    rows = [
        {
            "herb": HERBS[number % 5],
            "dish": f"soup {number}",
            "use": f"Use {HERBS[number % 5]} {'fresh from the pot' if number % 2 else 'dried over winter'}, number {number}.",
            "fresh": "yes" if number % 2 else "no",
            "keeps": number % 2,
            "sweet": number % 3 % 2,
            "messages": [
                {"role": "user", "content": f"{HERBS[number % 5]}?"},
                {"role": "assistant", "content": f"In soup {number}."},
            ],
        }
        for number in range(40)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture(scope="session")
def runs_of(herbs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """The run of a kind, trained when it is first asked for."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOSSMITH_CACHE", str(folder / "cache"))

        def of(kind: str) -> str:
            if not (folder / kind).exists():
                task, more = SHAPES[kind]
                loaded = task == "retrieval" or kind == "adapter"
                bare = [each for each in SMALL if not loaded or not each.startswith("model.")]
                if kind == "adapter":
                    more = [*more, f"model.base={of('chat')}/model"]
                train(task, [*bare, f"data.files={herbs}", f"runs_dir={folder}", f"name={kind}", *more], quiet=True)
            return str(folder / kind)

        yield of
