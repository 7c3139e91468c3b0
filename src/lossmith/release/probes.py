"""The texts that two copies of a model are asked, always the same, with a few prompts of the run itself."""

from __future__ import annotations

from lossmith.runs import RunFolder

FIXED = (
    "The quick brown fox jumps over the lazy dog.",
    "Whisk 3 eggs with 250 g of flour, ½ tsp of salt and a pinch of sugar; bake for 45 minutes.",
    '{"name": "crème brûlée", "servings": 4, "vegan": false}',
    "Question: what is 17 times 24?\nAnswer:",
    "Привет, мир! 你好,世界。 مرحبا 👩‍🍳🍕",
    "def add(a, b):\n    return a + b\n",
    "a",
)
_PROMPTS, _CHARACTERS = 4, 600


def probes_of(run: RunFolder | None) -> tuple[str, ...]:
    """The fixed texts, then the first prompts that the run predicted an answer to, where it has predicted."""
    return (*FIXED, *(_prompts(run) if run is not None else ()))


def _prompts(run: RunFolder) -> list[str]:
    import pyarrow.parquet as pq

    files = sorted((run.path / "predictions").glob("*.parquet"))
    if not files:
        return []
    with pq.ParquetFile(files[0]) as file:
        batch = next(file.iter_batches(batch_size=_PROMPTS, columns=["prompt"]), None)
    told = batch.column(0).to_pylist() if batch is not None else []
    # The end of a prompt is where the answer begins.
    return [text[-_CHARACTERS:] for text in told if text]
