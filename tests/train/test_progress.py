"""What is seen while training: a bar in a terminal, lines where there is none, and train.log always."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from transformers import TrainerControl, TrainerState

import lossmith
from lossmith.runs import RunFolder, read_jsonl
from lossmith.train.progress import LiveProgress, log_to

from .building import PLAIN

LINE = {
    "step": 5,
    "loss": 1.25,
    "terms": {"cross_entropy": {"value": 1.5, "weight": 0.5}, "sinkhorn": {"value": None, "weight": 0.5}},
}


def test_the_log_holds_a_line_for_each_of_the_history(overrides: Callable[..., list[str]], tmp_path: Path):
    given = PLAIN | {"per_device_train_batch_size": 5}
    lossmith.train("causal", overrides("logged", **given), quiet=True)
    run = RunFolder(tmp_path / "runs" / "logged")
    log = run.log.read_text()
    for line in read_jsonl(run.history):
        assert f"step {line['step']}  loss {line['loss']:.4f}  cross_entropy " in log
    assert "20 training records, 4 optimizer steps an epoch" in log
    assert "WARNING only 4 optimizer steps" in log


def test_a_bar_shows_loss_terms_and_steps(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    screen = io.StringIO()
    monkeypatch.setattr("rich.console.Console", lambda **_: Console(file=screen, force_terminal=True, width=160))
    progress, control = LiveProgress(), TrainerControl()
    state = TrainerState(max_steps=40, global_step=0)
    with caplog.at_level(logging.INFO, logger="lossmith"):
        progress.on_train_begin(None, state, control)  # type: ignore[arg-type]
        state.global_step = 5
        progress.show(LINE, 3000, 2.0)
        progress.on_step_end(None, state, control)  # type: ignore[arg-type]
        progress.on_train_end(None, state, control)  # type: ignore[arg-type]
        progress.close()
    shown = screen.getvalue()
    assert "5/40" in shown
    assert "loss 1.2500  cross_entropy 1.5000  1,500 tokens/s" in shown
    assert "sinkhorn" not in shown, "a term without a value in these steps"
    assert caplog.messages == [], "the bar stands in for the line"


def test_without_a_terminal_the_line_is_logged(caplog: pytest.LogCaptureFixture):
    progress, state = LiveProgress(), TrainerState(max_steps=40)
    with caplog.at_level(logging.INFO, logger="lossmith"):
        progress.on_train_begin(None, state, TrainerControl())  # type: ignore[arg-type]
        progress.show(LINE, 3000, 0.0)
        progress.on_step_end(None, state, TrainerControl())  # type: ignore[arg-type]
    assert caplog.messages == ["step 5  loss 1.2500  cross_entropy 1.5000  0 tokens/s"]


@pytest.mark.parametrize("quiet", [True, False])
def test_quiet_leaves_warnings_on_the_screen(tmp_path: Path, quiet: bool, capsys: pytest.CaptureFixture[str]):
    logger = logging.getLogger("lossmith")
    before = (logger.level, logger.propagate, list(logger.handlers))
    with log_to(tmp_path / "deep" / "train.log", quiet=quiet):
        logger.info("a fact")
        logger.warning("a doubt")
    logger.info("afterwards")
    told = capsys.readouterr().err
    assert ("a fact\n" in told) is not quiet
    assert "warning: a doubt\n" in told
    kept = (tmp_path / "deep" / "train.log").read_text()
    assert "INFO a fact" in kept
    assert "WARNING a doubt" in kept
    assert "afterwards" not in kept + told
    assert (logger.level, logger.propagate, logger.handlers) == before


def test_what_libraries_say_goes_to_the_log_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with log_to(tmp_path / "train.log", quiet=False):
        logging.getLogger("transformers.trainer").warning("a library's word")
    assert "a library's word" in (tmp_path / "train.log").read_text()
    assert "a library's word" not in capsys.readouterr().err
