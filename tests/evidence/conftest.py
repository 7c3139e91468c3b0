"""A run over windows of made-up terms, judged by two criteria: trained once, read by many tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.evidence.terms_corpus import pairs_run, write_terms
from tests.shared_cache import cache_in


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evidence")


@pytest.fixture(scope="module", autouse=True)
def _cache(workplace: Path) -> Iterator[None]:
    """The cache beside the shared runs; for a module at a time, others may run between two of them."""
    with cache_in(workplace / "cache"):
        yield


@pytest.fixture(scope="session")
def terms(workplace: Path) -> Path:
    return write_terms(workplace / "terms.jsonl")


@pytest.fixture(scope="session")
def pairs(workplace: Path, terms: Path) -> Iterator[Path]:
    """The folder of the run; a test that changes it works on a copy."""
    from lossmith.stages import run

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOSSMITH_CACHE", str(workplace / "cache"))
        yield run("retrieval", pairs_run(terms, workplace, "name=pairs"), quiet=True)
