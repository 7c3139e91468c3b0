"""Keys of the retrieval task that contradict each other, or that another task was given."""

from __future__ import annotations

import pytest

from lossmith.config.load import load_config, missing_keys
from lossmith.errors import ConfigError

IRIS = "criteria/iris"


@pytest.mark.parametrize(
    ("preset", "override", "message", "fix"),
    [
        (IRIS, "task.aggregate=mean", "reads queries", "~objective.query_diversity"),
        (IRIS, "model.adapter=lora", "encoder of a retrieval classifier is frozen", "model.adapter=none"),
        (IRIS, "model.load_in_4bit=true", "encoder of a retrieval classifier is frozen", "model.load_in_4bit=false"),
        (IRIS, "model.add_tokens=[x]", "would never learn new tokens", None),
        (IRIS, "data.pairs={a: Arbitration.}", "both say what the label is", "data.label=null"),
        (IRIS, "task.query_texts=[fees]", "query_init says otherwise", None),
        (IRIS, "task.query_init=texts", "needs texts", None),
        (IRIS, "data.chunks.overlap=3", "leaves nothing new", None),
        ("screening/bce", "model.base=tfidf-svd", "no model that could be fine-tuned", "model=scratch-tiny"),
        ("screening/bce", "model.pooling=tokens", "looks among single tokens", None),
        ("screening/bce", "objective.query_diversity=5.6", "does not give", None),
    ],
)
def test_contradictions_say_what_to_change(preset: str, override: str, message: str, fix: str | None):
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(preset, [override])
    assert fix is None or (caught.value.fix or "").startswith(fix)


def test_the_mean_needs_no_penalty_on_queries():
    config = load_config(IRIS, ["task.aggregate=mean", "~objective.query_diversity"])
    assert config.objective == load_config("criteria/mean-pool").objective


def test_pairs_are_labels_and_a_file_without_a_preset_takes_the_bare_one():
    bare = load_config({"task": {"kind": "retrieval"}})
    assert missing_keys(bare) == ["data.files", "model.base", "data.label"]
    assert missing_keys(load_config({"task": {"kind": "retrieval"}, "data": {"pairs": {"a": "Is it?"}}})) == [
        "data.files",
        "model.base",
    ]
    assert bare.train is not None
    assert bare.train.num_train_epochs == 50
