"""A loss of one's own from a file beside the configuration, through every verb; a dead and a broken one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lossmith.runs import RunFolder, read_jsonl
from tests.command_line import Command, Outcome, in_this_process

LOSSES = '''
"""Losses for the tests of losses of one's own."""
import torch


def poly1(stats, *, epsilon=1.0):
    return -stats.label_log_prob + epsilon * (1 - stats.label_log_prob.exp())


poly1.kind, poly1.needs = "separable", ("label_log_prob",)


def worst_token(stats):
    worst = stats.label_log_prob.new_zeros(stats.examples)
    return worst.scatter_reduce(0, stats.example, -stats.label_log_prob, "amax")


worst_token.kind, worst_token.needs = "set", ("label_log_prob",)


def frozen(stats):
    return -stats.label_log_prob.detach()


frozen.kind, frozen.needs = "separable", ("label_log_prob",)


def explosive(stats):
    return stats.label_log_prob / 0


explosive.kind, explosive.needs = "separable", ("label_log_prob",)


def summed(stats):
    return -stats.label_log_prob.sum()


summed.kind, summed.needs = "separable", ("label_log_prob",)


def kindless(stats):
    return -stats.label_log_prob


def needless(stats):
    return -stats.label_log_prob


needless.kind = "separable"
'''

CONFIG = """
defaults: [causal]
data:
  files: {files}
  task: kind
  template: {{prompt: "{{{{ p }}}} ", answer: "{{{{ a }}}}"}}
  split: {{validation: 0.2, test: 0.2}}
model:
  {{base: scratch-tiny, vocab_size: 300, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2}}
objective:
  cross_entropy: 0.5
  poly1: {{loss: "my_losses:poly1", weight: 0.5, epsilon: 2}}
  by_task:
    maths:
      cross_entropy: 0.5
      worst: {{loss: "my_losses:worst_token", weight: 0.5}}
train: {{num_train_epochs: 2, per_device_train_batch_size: 4, device: cpu, share_steps: 1, logging_steps: 1}}
generate: {{max_new_tokens: 4}}
evaluate: {{metrics: [exact_match]}}
tracking: {{report_to: []}}
runs_dir: {runs}
name: own
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with my_losses.py, a configuration beside it, and records of two tasks and of none."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "my_losses.py").write_text(LOSSES)
    kinds = ["maths", "chem", None]
    records = [{"p": f"q{n}", "a": "xyz"[: n % 3 + 1] * (n % 5 + 1), "kind": kinds[n % 3]} for n in range(30)]
    (folder / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    text = CONFIG.format(files=folder / "records.jsonl", runs=folder / "runs")
    (folder / "own.yaml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def command(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The installed command, started in a folder that holds nothing of the project."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    environment = os.environ | {"LOSSMITH_CACHE": str(project / "cache"), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}

    def call(*arguments: object, cwd: Path = elsewhere, **more: str) -> Outcome:
        lossmith = Path(sys.executable).with_name("lossmith")
        done = subprocess.run(
            [lossmith, *map(str, arguments)],
            cwd=cwd,
            env=environment | more,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def here(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """The same command in this process, which is many times as fast."""
    monkeypatch.setenv("LOSSMITH_CACHE", str(project / "cache"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield in_this_process(monkeypatch, capsys)
    sys.modules.pop("my_losses", None)


@pytest.mark.timeout(300)
def test_every_verb_takes_it_from_a_file_beside_the_configuration(command: Command, project: Path):
    done = command("run", project / "own.yaml", "objective.poly1.epsilon=3", "--quiet")
    assert done.code == 0, done.err
    run = RunFolder(project / "runs" / "own")
    objective = {term["name"]: term for term in run.manifest()["objective"]}
    assert list(objective) == ["cross_entropy", "poly1", "maths.cross_entropy", "maths.worst"]
    assert objective["poly1"]["parameters"] == {"epsilon": 3}
    assert (objective["poly1"]["loss"], objective["maths.worst"]["task"]) == ("my_losses:poly1", "maths")
    assert run.manifest()["set_terms"] == ["maths.worst"]
    lines = read_jsonl(run.history)
    trained = [line["terms"] for line in lines if "terms" in line]
    assert all(set(terms) == set(objective) for terms in trained)
    assert any(terms["maths.worst"]["share"] for terms in trained)
    evaluated = [line for line in lines if "eval_loss" in line]
    for line in evaluated:
        weighted = sum(term["weight"] * line[f"eval_{name}"] for name, term in objective.items())
        assert line["eval_loss"] == pytest.approx(weighted)
    page = run.report.read_text()
    for told in ("my_losses:poly1", "maths.worst", "epsilon = 3"):
        assert told in page
    # The run finds the module again, from wherever it is looked at.
    shown = command("inspect", run.path, "--json")
    assert shown.code == 0, shown.err
    found = json.loads(shown.out)
    assert [term["name"] for term in found["terms"]] == list(objective)
    read = {name: count for name, count in found["counts"]["terms"].items() if count}
    assert set(read) in ({"cross_entropy", "poly1"}, {"maths.cross_entropy", "maths.worst"})
    assert command("evaluate", run.path, "--quiet").code == 0
    assert command("report", run.path).code == 0


def test_it_is_found_in_the_working_folder_and_on_pythonpath(command: Command, project: Path, tmp_path: Path):
    text = (project / "own.yaml").read_text()
    (tmp_path / "conf").mkdir()
    alone = tmp_path / "conf" / "alone.yaml"
    alone.write_text(text)
    refused = command("inspect", alone)
    assert refused.code == 2
    assert "No module named 'my_losses'" in refused.err
    assert str(tmp_path / "conf") in refused.err
    check = ("list", "losses", "--check", "my_losses:worst_token")
    assert command(*check).code == 2
    assert command(*check, cwd=project).code == 0
    assert command(*check, PYTHONPATH=str(project)).code == 0


def test_changed_code_is_noticed(here: Command, project: Path):
    given = ["train", project / "own.yaml", "objective.poly1.epsilon=3", "name=changing", "train.max_steps=1"]
    assert here(*given, "--quiet").code == 0
    file = project / "my_losses.py"
    try:
        file.write_text(LOSSES + "\n# Another formula.\n")
        refused = here(*given)
        assert refused.code == 2
        assert "the code of the loss 'my_losses:poly1' has changed since" in refused.err
    finally:
        file.write_text(LOSSES)
    assert here(*given, "--quiet").code == 0


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("objective.poly1.epsylon=3", "did you mean 'epsilon'?"),
        ("objective.poly1.loss=my_losses:poly", "did you mean 'my_losses:poly1'?"),
        ("objective.poly1={loss: 'my_losses:kindless', weight: 1}", "does not say what kind it is"),
        ("objective.bad={loss: 'my_losses:needless', weight: 1}", "does not say which statistics it reads"),
        ("objective.bad={loss: 'my_losses:summed', weight: 1}", "one value for each position"),
        ("objective.bad={loss: 'my_losses:poly1', epsilon: two}", "the loss 'my_losses:poly1' failed: TypeError"),
        ("objective.by_task.maths.worst.loss=my_losses:summed", "one value for each position"),
    ],
)
def test_what_is_wrong_with_it_is_told_before_anything_is_made(here: Command, project: Path, override: str, says: str):
    before = sorted(project.rglob("*"))
    given = "~objective.poly1.epsilon" if "kindless" in override else "seed=0"
    done = here("train", project / "own.yaml", given, override, "name=refused")
    assert done.code == 2, done.out
    assert says in done.err
    assert [path for path in sorted(project.rglob("*")) if path not in before and "__pycache__" not in str(path)] == []


def test_a_dead_one_is_told_loudly_everywhere(here: Command, project: Path):
    term = "+objective.still={loss: 'my_losses:frozen', weight: 2}"
    done = here("train", project / "own.yaml", term, "name=dead", "train.num_train_epochs=4", "--quiet")
    assert done.code == 0, done.err
    run = RunFolder(project / "runs" / "dead")
    assert "the term 'still' will be dead" in done.err
    assert "the term 'still' is dead: its share of the gradient stayed under 1e-4" in done.err
    assert "the term 'still' was dead at the end of training: it trained nothing" in done.err
    assert "is dead" in run.log.read_text()
    trained = [line for line in read_jsonl(run.history) if "terms" in line]
    assert trained[-1]["dead"] == ["still"]
    assert "dead" not in trained[0]
    assert [line["terms"]["still"]["share"] for line in trained][:5] == [0.0] * 5
    assert any("'still' is dead" in warning for warning in run.manifest()["warnings"])
    assert here("report", run.path).code == 0
    page = run.report.read_text()
    assert "The term still of the objective is dead" in page
    assert "dead: it had no share of the gradient and trained nothing" in page
    told = json.loads(here("train", project / "own.yaml", term, "name=dead", "train.num_train_epochs=4", "--json").out)
    assert told["dead_terms"] == ["still"]


def test_a_dead_one_alone_is_told_too(here: Command, project: Path):
    objective = "objective={still: {loss: 'my_losses:frozen', weight: 1}}"
    done = here("train", project / "own.yaml", objective, "name=alone", "train.num_train_epochs=4", "--quiet")
    assert done.code == 0, done.err
    assert "the term 'still' was dead at the end" in done.err


def test_one_that_is_not_finite_stops_the_run_and_is_named(here: Command, project: Path):
    term = "+objective.boom={loss: 'my_losses:explosive', weight: 1}"
    done = here("train", project / "own.yaml", term, "name=boom")
    assert done.code == 1
    assert "the loss is not finite at step 1" in done.err
    assert "the term boom" in done.err
