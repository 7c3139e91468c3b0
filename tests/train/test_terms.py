"""Terms while training: each logged by itself, its share of the gradient measured, a dead one told, scope batch told."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

import lossmith
from lossmith.runs import RunFolder, read_jsonl

from .building import PLAIN, Built, row

THREE = "objective={cross_entropy: 0.5, focal: {weight: 0.3, span: items}, generalized_dice: 0.2}"


def test_a_line_holds_every_term_and_its_loss_is_their_weighted_sum(build: Callable[..., Built]):
    given = PLAIN | {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "logging_steps": 2}
    history = build("lines", THREE, **given).fit()
    assert [line["step"] for line in history] == [1, 2, 4, 5]
    for line in history:
        assert list(line) == ["step", "loss", "terms", "learning_rate", "grad_norm", "tokens", "seconds"]
        assert {name: term["weight"] for name, term in line["terms"].items()} == {
            "cross_entropy": 0.5, "focal": 0.3, "generalized_dice": 0.2,
        }  # fmt: skip
        assert all(set(term) == {"value", "weight", "share"} for term in line["terms"].values())
        weighted = sum(term["weight"] * term["value"] for term in line["terms"].values())
        assert line["loss"] == pytest.approx(weighted, rel=1e-12)
        assert line["learning_rate"] == 0.5
        assert line["grad_norm"] > 0
    tokens = [line["tokens"] for line in history]
    assert tokens == sorted(tokens)
    assert all(later["seconds"] >= earlier["seconds"] for earlier, later in itertools.pairwise(history))


def test_the_last_step_is_in_the_history_and_no_token_is_lost(build: Callable[..., Built]):
    built = build("tail", **(PLAIN | {"per_device_train_batch_size": 4, "logging_steps": 3}))
    history = built.fit()
    assert [line["step"] for line in history] == [1, 3, 5]
    assert history[-1]["tokens"] == built.prepared.audit["splits"]["train"]["tokens"]


@pytest.mark.parametrize("strategy", ["steps", "epoch"])
def test_steps_before_an_early_stop_are_in_the_history(build: Callable[..., Built], strategy: str):
    # No improvement is large enough: patience runs out between two log lines, in the middle of training.
    given = PLAIN | {
        "per_device_train_batch_size": 4, "num_train_epochs": 9, "logging_steps": 100, "eval_strategy": strategy,
        "early_stopping_patience": 2, "early_stopping_threshold": 100,
    } | ({"eval_steps": 3} if strategy == "steps" else {})  # fmt: skip
    built = build(f"stopped-{strategy}", **given)
    history = built.fit()
    stop = built.trainer.state.global_step
    assert stop == (9 if strategy == "steps" else 15) < built.trainer.state.max_steps
    trained, evaluated = ([line for line in history if key in line] for key in ("loss", "eval_loss"))
    assert trained[-1]["step"] == evaluated[-1]["step"] == stop
    assert trained[-1]["learning_rate"] == 0.5
    assert trained[-1]["grad_norm"] >= 0
    # No line was asked for at the evaluations before, which could not be the last.
    assert [line["step"] for line in trained] == [1, stop]
    assert history.index(trained[-1]) < history.index(evaluated[-1])


class StopsAtThree(TrainerCallback):
    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_training_stop = state.global_step == 3


def test_steps_before_a_users_callback_stops_are_in_the_history(build: Callable[..., Built]):
    callback = f"train.callbacks=['{StopsAtThree.__module__}:StopsAtThree']"
    given = PLAIN | {"per_device_train_batch_size": 4, "logging_steps": 100}
    history = build("stopped-by-a-callback", callback, **given).fit()
    assert [line["step"] for line in history] == [1, 3]


def test_a_line_over_steps_is_exact_by_token(build: Callable[..., Built]):
    # A learning rate that moves nothing, and windows of one record: lines of single records tell what the longer
    # line must hold.
    rows = [row(n, prompt=1, answer=a, items=1) for n, a in enumerate([1, 90, 2, 1, 40, 3])]
    still = PLAIN | {"learning_rate": 1e-30, "per_device_train_batch_size": 1, "share_steps": 100}
    single = build("single", THREE, rows=rows, **still).fit()
    first, rest = build("together", THREE, rows=rows, **(still | {"logging_steps": 100})).fit()
    assert first["terms"] == single[0]["terms"]
    answers = [later["tokens"] - earlier["tokens"] - 1 for earlier, later in itertools.pairwise(single)]
    for name, counts in (("cross_entropy", answers), ("focal", [1] * 5), ("generalized_dice", [1] * 5)):
        values = [line["terms"][name]["value"] for line in single[1:]]
        exact = sum(v * c for v, c in zip(values, counts, strict=True)) / sum(counts)
        assert rest["terms"][name]["value"] == pytest.approx(exact, rel=1e-6)
    mean_of_means = sum(line["terms"]["cross_entropy"]["value"] for line in single[1:]) / 5
    assert mean_of_means != pytest.approx(rest["terms"]["cross_entropy"]["value"], rel=1e-4)


def test_shares_add_up_to_one_and_are_measured_at_their_steps(build: Callable[..., Built]):
    rows = [row(n, prompt=2, answer=6, items=3) for n in range(8)]
    given = PLAIN | {"per_device_train_batch_size": 1, "share_steps": 3}
    history = build("shares", THREE, rows=rows, **given).fit()
    measured = {line["step"]: [term["share"] for term in line["terms"].values()] for line in history}
    for step, shares in measured.items():
        if step == 1 or step % 3 == 0:
            assert sum(shares) == pytest.approx(1.0)
            assert all(0 < share < 1 for share in shares)
        else:
            assert shares == [None, None, None]


def test_one_term_alone_is_not_measured(build: Callable[..., Built]):
    history = build("alone", **(PLAIN | {"share_steps": 1})).fit()
    assert {line["terms"]["cross_entropy"]["share"] for line in history} == {None}


@pytest.mark.parametrize(("weight", "dead"), [(1e-9, True), (0.1, False)])
def test_a_dead_term_is_told_in_log_manifest_and_on_the_screen(
    weight: float,
    dead: bool,
    overrides: Callable[..., list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    objective = f"objective={{cross_entropy: 1, entropy_penalty: {weight}}}"
    given = PLAIN | {"per_device_train_batch_size": 2, "share_steps": 1, "warmup_steps": 2, "learning_rate": 0.1}
    lossmith.train("causal", overrides("planted", objective, **given), quiet=True)
    run = RunFolder(tmp_path / "runs" / "planted")
    told = [w for w in run.manifest()["warnings"] if "dead" in w]
    assert len(told) == 2 * int(dead)
    if dead:
        assert told[1] == "the term 'entropy_penalty' was dead at the end of training: it trained nothing"
        assert "'entropy_penalty' is dead" in told[0]
        assert "at step 7" in told[0], "two steps of warm-up and five measurements"
        assert told[0] in run.log.read_text()
        assert f"warning: {told[0]}" in capsys.readouterr().err
    else:
        assert "is dead" not in run.log.read_text() + capsys.readouterr().err


def test_scope_batch_is_told_in_manifest_and_report(overrides: Callable[..., list[str]], tmp_path: Path):
    objective = "objective={cross_entropy: 0.5, lovasz_softmax: 0.2, generalized_dice: {weight: 0.3, scope: batch}}"
    given = PLAIN | {"per_device_train_batch_size": 2, "num_train_epochs": 2}
    lossmith.train("causal", overrides("scope", objective, **given), quiet=True)
    run = RunFolder(tmp_path / "runs" / "scope")
    manifest = run.manifest()
    assert {term["name"]: (term["scope"], term["unit"]) for term in manifest["objective"]} == {
        "cross_entropy": (None, "token"),
        "lovasz_softmax": ("sequence", "example"),
        "generalized_dice": ("batch", "set"),
    }
    assert manifest["set_terms"] == ["lovasz_softmax", "generalized_dice"]
    from lossmith.report.page import write_report

    page = write_report([run.path], None).read_text()
    assert "exact within a micro-batch only, in training and in evaluation" in page
    assert page.count("exact within a micro-batch only") == 1, "the term of scope sequence is not so"


def test_result_holds_the_history_by_name(overrides: Callable[..., list[str]]):
    given = PLAIN | {"per_device_train_batch_size": 5, "eval_strategy": "epoch", "num_train_epochs": 2}
    result = lossmith.train("causal", overrides("result", THREE, **given), quiet=True)
    lines = read_jsonl(RunFolder(result.path).history)
    training, evaluations = ([line for line in lines if key in line] for key in ("loss", "eval_loss"))
    assert result.history["step"] == [line["step"] for line in training]
    assert result.history["loss"] == [line["loss"] for line in training]
    assert result.history["term/focal"] == [line["terms"]["focal"]["value"] for line in training]
    assert result.history["eval_loss"] == [line["eval_loss"] for line in evaluations]
    assert result.history["eval_step"] == [line["step"] for line in evaluations]
    json.dumps(result.history)
