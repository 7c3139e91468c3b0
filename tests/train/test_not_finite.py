"""A loss or gradient that is not finite stops the run before the optimizer steps, and names its records."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lossmith.cli.app import main
from lossmith.errors import LossmithError

from .building import PLAIN, Built, row

MODULE = '''
import torch

def infinite(stats):
    return stats.label_log_prob * 0 + torch.inf

def cornered(stats):
    """Value 0, gradient 0 times infinity."""
    return torch.sqrt(stats.label_log_prob * 0)

for function in (infinite, cornered):
    function.kind, function.needs = "separable", ("label_log_prob",)
'''
ROWS = [row(n, prompt=2, answer=5, items=2 if n == 3 else 0) for n in range(8)]


@pytest.fixture(autouse=True)
def own_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "losses_gone_wrong.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def objective(function: str) -> str:
    return f"objective={{cross_entropy: 1, wrong: {{loss: 'losses_gone_wrong:{function}', weight: 1, span: items}}}}"


def stopped(built: Built) -> LossmithError:
    with pytest.raises(LossmithError) as caught:
        built.fit()
    assert caught.value.exit_code == 1
    return caught.value


@pytest.mark.parametrize("max_grad_norm", [0, 1])
def test_a_loss_names_the_records_of_its_micro_batch(build: Callable[..., Built], max_grad_norm: int):
    given = PLAIN | {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8}
    given |= {"max_grad_norm": max_grad_norm, "share_steps": 1000}
    built = build("loss", objective("infinite"), rows=ROWS, **given)
    before = {name: value.clone() for name, value in built.loaded.model.state_dict().items()}
    error = stopped(built)
    assert error.message == "the loss is not finite at step 1"
    assert error.got == "records row-3; the term wrong"
    after = built.loaded.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before), "the optimizer has not stepped"


def test_a_gradient_names_the_records_of_its_window(build: Callable[..., Built]):
    given = PLAIN | {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "share_steps": 1000}
    built = build("gradient", objective("cornered"), rows=ROWS, **given)
    error = stopped(built)
    assert error.message.startswith("the gradient is not finite at step ")
    ids = str(error.got).removeprefix("records ").split(", ")
    assert len(ids) == 4
    assert "row-3" in ids


def test_a_long_list_of_records_is_cut(build: Callable[..., Built]):
    rows = [row(n, prompt=1, answer=2, items=1) for n in range(20)]
    built = build("many", objective("infinite"), rows=rows, **(PLAIN | {"per_device_train_batch_size": 20}))
    assert str(stopped(built).got).endswith(" and 4 more; the term wrong")


def test_a_poisoned_weight_stops_the_run(build: Callable[..., Built]):
    built = build("poisoned", rows=ROWS, **PLAIN)
    with torch.no_grad():
        next(built.loaded.model.parameters())[70:].fill_(torch.nan)
    assert stopped(built).message == "the loss is not finite at step 1"


def test_a_loss_of_the_evaluation_names_its_records(build: Callable[..., Built]):
    given = PLAIN | {"eval_strategy": "epoch", "per_device_eval_batch_size": 1}
    built = build("evaluation", objective("infinite"), rows=[ROWS[0]], validation=ROWS, **given)
    error = stopped(built)
    assert error.message.startswith("the evaluation loss is not finite at step ")
    assert error.got == "records row-3; the term wrong"


def test_a_skipped_step_under_loss_scaling_leaves_a_line_that_can_be_read(build: Callable[..., Built]):
    built = build("scaled", rows=ROWS, **PLAIN)
    built.trainer.log({"loss": 1.0, "grad_norm": float("inf"), "learning_rate": 0.1})
    (line,) = [json.loads(text) for text in built.run.history.read_text().splitlines()]
    assert line["grad_norm"] is None


def test_twenty_skipped_steps_in_a_row_stop(build: Callable[..., Built]):
    class Scaler:
        @staticmethod
        def is_enabled() -> bool:
            return True

    built = build("twenty", rows=ROWS, **PLAIN)
    trainer = built.trainer
    # There is no fp16 on a CPU: the scaler's answer stands in, the counting is the trainer's.
    trainer.accelerator.scaler = Scaler()
    trainer._window_rows = [torch.tensor([0, 1])]
    infinite, fine = torch.tensor(torch.inf), torch.tensor(1.0)
    for _ in range(19):
        trainer._get_grad_norm(built.loaded.model, grad_norm=infinite)
    trainer._get_grad_norm(built.loaded.model, grad_norm=fine)
    for _ in range(19):
        trainer._get_grad_norm(built.loaded.model, grad_norm=infinite)
    with pytest.raises(LossmithError, match="gradient is not finite"):
        trainer._get_grad_norm(built.loaded.model, grad_norm=infinite)


def test_the_command_line_leaves_with_1_and_shows_the_ids(
    overrides: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    given = overrides("command", objective("infinite"), **(PLAIN | {"per_device_train_batch_size": 20}))
    monkeypatch.setattr(sys, "argv", ["lossmith", "train", "causal", *given, "--quiet"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    told = capsys.readouterr().err
    assert "error: the loss is not finite at step 1\n  got: records ragged.jsonl:" in told
    assert "Traceback" not in told
