"""Runs on real data with a model of a few thousand weights, shared between the tests that only read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import lossmith as command  # noqa: F401  (a fixture: `lossmith ...` in this process)
from tests.shared_cache import cache_in

SHRUNK = (
    "model=scratch-tiny",
    "model.hidden_size=32",
    "model.num_hidden_layers=2",
    "model.num_attention_heads=2",
    "model.vocab_size=600",
    "data.limit=60",
    "train.max_steps=3",
    "train.device=cpu",
    "generate.max_new_tokens=12",
    "evaluate.limit=6",
)


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the shared runs."""
    return tmp_path_factory.mktemp("integration")


@pytest.fixture(scope="module", autouse=True)
def _cache(workplace: Path) -> Iterator[None]:
    """The cache of prepared data beside the shared runs; for a module at a time, others may run between two of them."""
    with cache_in(workplace / "cache"):
        yield


@pytest.fixture(scope="session")
def recipes(shared_data: Path) -> Path:
    return shared_data / "recipes" / "public_domain_recipes.jsonl"


@pytest.fixture(scope="session")
def recipe_run(workplace: Path, recipes: Path) -> Callable[[str], Path]:
    """The run of a preset of recipes, carried out once; tests read it and change nothing."""
    from lossmith.stages import run

    made: dict[str, Path] = {}

    def of(preset: str) -> Path:
        if preset not in made:
            overrides = [*SHRUNK, f"data.files={recipes}", f"runs_dir={workplace / 'runs'}", f"name={preset}"]
            made[preset] = run(f"recipes/{preset}", overrides, quiet=True)
        return made[preset]

    return of


@pytest.fixture
def small(tmp_path: Path, recipes: Path) -> Callable[..., list[str]]:
    """Overrides of a small run of its own on the recipes; later ones win."""

    def make(*more: str, name: str = "own") -> list[str]:
        return [*SHRUNK, f"data.files={recipes}", f"runs_dir={tmp_path / 'runs'}", f"name={name}", *more]

    return make
