"""A cache of its own, and configurations of tiny models on a few made-up pairs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny_runs import TINY_MODEL

TINY = [*TINY_MODEL, "train.per_device_train_batch_size=3", "data.split={validation: 0.25, test: 0}"]
WRITTEN = "data.template={prompt: '{{ source }}', answer: ' {% span \"last\" %}{{ target }}{% endspan %}'}"
READ = "data.template={text: '{{ source }} {{ target }}'}"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOSSMITH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, cache) -> Path:
    """24 pairs of unlike lengths with a class each."""
    file = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    with file.open("w", encoding="utf-8") as out:
        for number in range(24):
            source, target = "stir the soup " * (1 + number % 5), "and serve it warm " * (1 + number % 3)
            kind = ("warm", "cold")[number % 2]
            out.write(json.dumps({"source": f"{number}: {source}", "target": target, "kind": kind}) + "\n")
    return file


@pytest.fixture(scope="module")
def configured(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[str]]:
    """A preset and its overrides for these pairs."""
    runs = tmp_path_factory.mktemp("runs")

    def make(preset: str, *more: str) -> list[str]:
        own = [f"data.files={pairs}", f"runs_dir={runs}", READ if preset == "classification" else WRITTEN]
        labelled = ["data.label=kind"] if preset == "classification" else []
        return [preset, *TINY, *own, *labelled, *more]

    return make
