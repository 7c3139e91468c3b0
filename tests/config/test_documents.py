"""Keys of data.assemble, data.chunks and data.pairs that contradict others."""

from __future__ import annotations

import pytest

from lossmith.config.load import load_config
from lossmith.errors import ConfigError

IRIS = "terms/iris"
RETRIEVAL = "criteria/iris"


@pytest.mark.parametrize(
    ("preset", "overrides", "message"),
    [
        (IRIS, ["data.id=line_number"], "about single rows"),
        (IRIS, ["data.messages=sentence"], "about single rows"),
        (IRIS, ["data.assemble.order=sentence"], "names one column twice"),
        (IRIS, ["data.fields={other: company}"], "no field reads the text"),
        (IRIS, ["data.spans={x: {field: sentence, offsets: at}}"], "counts in the text of a single row"),
        (IRIS, ["data.label=ltd"], "both say what the label is"),
        (IRIS, ["task.classes=[fair, unfair]"], "0 or 1"),
        (IRIS, ["data.pairs.ltd=' '"], r"data\.pairs\.ltd is empty"),
        (IRIS, ["data.pairs={a: One., b: One.}"], "have the same criterion"),
        (IRIS, ["data.fields={sentence: sentence, criterion: law}"], "in data.fields|calls the criterion"),
        (IRIS, ["data.keep=[criterion]"], "calls the criterion"),
        (IRIS, ["data.chunks.by=tokens", "model=tfidf-svd"], "this one has none"),
        (IRIS, ["data.chunks.by=tokens", "model=scratch-tiny"], "this one has none"),
        ("screening/bce", ["data.chunks.size=5"], "looks among chunks"),
        ("recipes/cross-entropy", ["data.pairs={a: One.}"], "this task has none"),
    ],
)
def test_contradictions_are_told(preset: str, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(preset, overrides)


def test_what_can_be_is_left_alone() -> None:
    assert load_config(IRIS).data.has_clusters
    assert load_config(IRIS, ["data.cluster=null"]).data.has_clusters, "documents of one company belong together"
    assert load_config(IRIS, ["data.chunks.by=tokens", "model=all-mpnet-base-v2"]).data.chunks.by == "tokens"
    assert not load_config(RETRIEVAL, ["data.cluster=null"]).data.has_clusters
    assert load_config(RETRIEVAL, ["data.assemble={by: a, order: b, text: document, window: null}"]).data.assemble
