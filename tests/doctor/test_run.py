"""A run with a model: the loss of every token, and what is said when its sources have changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from lossmith.doctor.inspect import inspect_record
from lossmith.errors import ConfigError, InputError
from lossmith.train.run import train

TEMPLATE = {"prompt": "Cook {{ dish }}: ", "answer": '{% span "item" %}{{ items[0] }}{% endspan %} and salt'}


@pytest.fixture
def trained(configure: Callable[..., Path], dishes: Path) -> Path:
    config = configure(
        name="tiny",
        data={"files": str(dishes), "id": "key", "template": TEMPLATE},
        objective={"focal": {"weight": 1.0, "span": "item"}},
        train={
            "max_steps": 2,
            "learning_rate": 0.05,
            "device": "cpu",
            "eval_strategy": "no",
            "load_best_model_at_end": False,
        },
        tracking={"report_to": []},
    )
    return train(config, quiet=True).path


def test_the_loss_of_a_token_is_that_of_predicting_it(trained: Path, dishes: Path) -> None:
    found = inspect_record(trained, id="dish-3")
    assert found.answer is not None and found.answer.ok and not found.disagreements and not found.notes
    model = AutoModelForCausalLM.from_pretrained(trained / "model", dtype=torch.float64).eval()
    ids = torch.tensor([[token.id for token in found.tokens]])
    with torch.no_grad():
        truth = -model(input_ids=ids).logits[0].log_softmax(-1)
    for token in found.tokens:
        assert (token.loss is not None) == token.supervised
        if token.loss is not None:
            assert token.loss == pytest.approx(float(truth[token.index - 1, token.id]), rel=1e-4)
    # Positions that no term reads have a loss, too.
    assert any(token.loss is not None and not token.terms for token in found.tokens)

    as_config = inspect_record(trained / "config.yaml", id="dish-3")
    assert [token.loss for token in as_config.tokens] == [None] * len(found.tokens)

    rows = [json.loads(line) for line in dishes.read_text().splitlines()]
    dishes.write_text("".join(json.dumps(row | {"dish": "mud"}) + "\n" for row in rows))
    later = inspect_record(trained, id="dish-3")
    assert [token.id for token in later.tokens] == [token.id for token in found.tokens]
    assert later.mean_loss == found.mean_loss and any("sources have changed" in note for note in later.notes)
    assert later.answer is not None and later.answer.ok and later.text is None and not later.disagreements

    dishes.unlink()
    gone = inspect_record(trained, id="dish-3")
    assert gone.answer is not None and gone.answer.ok and any("could not be read" in note for note in gone.notes)
    with pytest.raises(InputError, match="did you mean 'dish-3'"):
        inspect_record(trained, id="dish_3")
    with pytest.raises(ConfigError, match="would change what was trained"):
        inspect_record(trained, ["data.max_length=5"])


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run folder"):
        inspect_record(tmp_path)
