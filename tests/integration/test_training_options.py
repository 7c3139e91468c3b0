"""What the `train` group promises: stopping, saving, resources, the user's own pieces, refusals."""

from __future__ import annotations

import json
import math
import textwrap
from pathlib import Path

import pytest

import lossmith
from lossmith.errors import ConfigError, DataError, InputError

OWN = """
    import torch
    from transformers import TrainerCallback

    SEEN = []

    class Watch(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            SEEN.append(state.global_step)
            if state.global_step == 2:
                control.should_training_stop = True

    class Descent(torch.optim.SGD):
        def __init__(self, params, lr, momentum=0.0):
            SEEN.append(("optimizer", lr, momentum))
            super().__init__(params, lr=lr, momentum=momentum)

    def halved(optimizer, factor=0.5):
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda count: factor**count)

    def poly1(stats, *, epsilon=1.0):
        return -stats.label_log_prob + epsilon * (1 - stats.label_log_prob.exp())

    poly1.kind, poly1.needs = "separable", ("label_log_prob",)

    def word_count(predictions):
        counts = [len(text.split()) for text in predictions["prediction"].to_pylist()]
        return sum(counts), len(counts)

    word_count.direction = "up"

    def my_source(files, *, times=1):
        for number in range(40 * times):
            yield {"p": f"count {number}", "a": " ".join(str(n) for n in range(number % 7 + 1))}
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's on the path, under a name no other test has."""
    name = f"own_pieces_{abs(hash(str(tmp_path))) % 10**8}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(OWN))
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def train(overrides: list[str]):
    return lossmith.train("recipes/cross-entropy", overrides, quiet=True)


def test_saves_and_evaluations_by_steps(small):
    result = train(
        small(
            "train.max_steps=6",
            "train.eval_strategy=steps",
            "train.eval_steps=2",
            "train.save_strategy=steps",
            "train.save_steps=2",
            "train.save_total_limit=2",
            "train.logging_steps=3",
        )
    )
    steps = [line["step"] for line in _lines(result.path) if "eval_loss" in line]
    assert steps == [2, 4, 6]
    assert [line["step"] for line in _lines(result.path) if "loss" in line] == [1, 3, 6]
    kept = sorted(path.name for path in (result.path / "checkpoints").glob("checkpoint-*"))
    assert len(kept) == 2
    assert f"checkpoint-{result.best_step}" in kept
    assert result.best_metric == min(result.history["eval_loss"])


def test_patience_stops_training_and_the_best_model_is_kept(small):
    """No gain is as large as the threshold, so patience runs out after two evaluations beside the first."""
    result = train(
        small(
            "train.max_steps=12",
            "train.eval_strategy=steps",
            "train.eval_steps=1",
            "train.early_stopping_patience=2",
            "train.early_stopping_threshold='90%'",
            "train.learning_rate=0.5",
        )
    )
    losses = result.history["eval_loss"]
    assert len(losses) == 3
    assert len(set(losses)) == 3
    assert result.best_metric == min(losses)
    assert result.best_step == losses.index(min(losses)) + 1
    assert _mean_loss(result.path) == pytest.approx(min(losses), rel=1e-4)


def test_a_metric_on_generated_text_chooses_the_best_checkpoint(small):
    result = train(
        small("train.metric_for_best_model=rouge1", "train.max_eval_samples=3", "train.early_stopping_patience=1")
    )
    values = [line["eval_rouge1"] for line in _lines(result.path) if "eval_loss" in line]
    assert values
    assert all(0 <= value <= 1 for value in values)
    assert result.best_metric == max(values)


def test_gradient_checkpointing_gives_the_same_losses(small):
    plain = train(small(name="plain"))
    spared = train(small("train.gradient_checkpointing=true", name="spared"))
    assert spared.history["eval_loss"] == pytest.approx(plain.history["eval_loss"], rel=1e-5)


def test_accumulation_trains_as_one_batch_does(small):
    whole = train(small("train.per_device_train_batch_size=4", "train.gradient_accumulation_steps=1", name="whole"))
    parts = train(small("train.per_device_train_batch_size=1", "train.gradient_accumulation_steps=4", name="parts"))
    assert parts.history["eval_loss"] == pytest.approx(whole.history["eval_loss"], rel=1e-5)


def test_bfloat16_on_a_processor_without_it_is_warned_of(small):
    from lossmith.models.precision import _cpu_multiplies_bf16

    run = train(small("model.dtype=bf16", "train.max_steps=1")).path
    told = [sentence for sentence in _manifest(run)["warnings"] if "no bfloat16 hardware" in sentence]
    assert bool(told) == (not _cpu_multiplies_bf16())
    assert _manifest(run)["dtype"] == "bfloat16"
    assert all(math.isfinite(line["eval_loss"]) for line in _lines(run) if "eval_loss" in line)


def test_float16_on_a_processor_is_refused(small):
    with pytest.raises(ConfigError, match="float16 cannot train on a CPU"):
        train(small("model.dtype=float16"))


def test_own_callback_optimizer_and_scheduler(small, own_module: str):
    import importlib

    result = train(
        small(
            f"train.callbacks=['{own_module}:Watch']",
            f"train.optim='{own_module}:Descent'",
            "train.optim_args={momentum: 0.5}",
            f"train.lr_scheduler_type='{own_module}:halved'",
            "train.lr_scheduler_kwargs={factor: 0.1}",
            "train.logging_steps=1",
            "train.learning_rate=0.01",
        )
    )
    seen = importlib.import_module(own_module).SEEN
    assert seen == [("optimizer", 0.01, 0.5), 1, 2]
    rates = [line["learning_rate"] for line in _lines(result.path) if "loss" in line]
    assert rates == pytest.approx([0.001, 0.0001]) or rates == pytest.approx([0.01, 0.001])


def test_a_scheduler_by_epochs_steps_once_an_epoch(small, own_module: str):
    result = train(
        small(
            "data.limit=12",
            "train.max_steps=-1",
            "train.num_train_epochs=3",
            "train.learning_rate=0.01",
            f"train.lr_scheduler_type='{own_module}:halved'",
            "train.lr_scheduler_kwargs={interval: epoch}",
            "train.logging_steps=1",
            "data.split={validation: 0.2, test: 0.2}",
        )
    )
    rates = [line["learning_rate"] for line in _lines(result.path) if "loss" in line]
    per_epoch = _manifest(result.path)["plan"]["steps_per_epoch"]
    assert len(rates) == 3 * per_epoch
    assert sorted(set(rates), reverse=True) in (
        pytest.approx([0.01, 0.005, 0.0025]),
        pytest.approx([0.01, 0.005, 0.0025, 0.00125]),
    )


def test_own_loss_metric_and_source(tmp_path: Path, own_module: str):
    from tests.integration.conftest import SHRUNK

    run = lossmith.run(
        "causal",
        [
            *SHRUNK,
            f"runs_dir={tmp_path / 'runs'}",
            f"data.source='{own_module}:my_source'",
            "data.source_options={times: 2}",
            "data.template={prompt: '{{ p }}: ', answer: '{{ a }}'}",
            f"objective.mine={{loss: '{own_module}:poly1', weight: 0.5, epsilon: 2}}",  # added to cross-entropy
            f"evaluate.metrics=['{own_module}:word_count', exact_match]",
            "model.vocab_size=300",
        ],
        quiet=True,
    )
    metrics = json.loads((run / "metrics.json").read_text())["metrics"]
    assert metrics[f"{own_module}:word_count"]["value"] >= 0
    assert metrics[f"{own_module}:word_count"]["direction"] == "up"
    first = next(line for line in _lines(run) if "loss" in line)
    terms = first["terms"]
    assert terms["mine"]["value"] > terms["cross_entropy"]["value"]
    assert first["loss"] == pytest.approx(terms["cross_entropy"]["value"] + 0.5 * terms["mine"]["value"], rel=1e-6)
    assert _manifest(run)["data"]["counts"]["train"] > 40


def test_warm_up_longer_than_training_is_refused(small):
    with pytest.raises(ConfigError, match="warm-up is longer than training"):
        train(small("train.warmup_steps=3"))


def test_a_span_absent_from_the_training_split_is_refused(small):
    with pytest.raises(DataError, match="absent from the whole training split") as caught:
        train(small("objective.sinkhorn={weight: 0.4, span: ingredeints}"))
    assert "ingredients" in str(caught.value)


@pytest.mark.parametrize("span", ["[answer, -ingredeints]", "[ingredients, ingredeints]"])
def test_a_span_that_nothing_marks_is_warned_of_where_it_is_added_or_taken_away(small, span: str):
    run = train(small(f"objective.focal={{weight: 0.4, span: {span}}}", "train.max_steps=1")).path
    [told] = [sentence for sentence in _manifest(run)["warnings"] if "nothing marks" in sentence]
    assert "did you mean 'ingredients'?" in told


def test_a_term_of_weight_0_is_left_out_and_said_to_be(small):
    run = train(small("objective.focal=0")).path
    assert "the term 'focal' has weight 0 and is left out" in _manifest(run)["warnings"]
    assert list(_lines(run)[0]["terms"]) == ["cross_entropy"]


def test_a_checkpoint_is_not_chosen_by_a_loss_that_measures_no_progress(small):
    with pytest.raises(ConfigError, match="no measure of progress"):
        train(small("objective={self_adjusting_dice: 1}"))
    given = ["objective={self_adjusting_dice: 1}", "train.load_best_model_at_end=false"]
    assert train(small(*given)).path.exists()
    told = ["train.metric_for_best_model=self_adjusting_dice", "train.greater_is_better=false"]
    assert train(small("objective.self_adjusting_dice=1", *told, name="told")).best_metric is not None


def test_few_steps_are_warned_of_in_the_manifest_and_the_log(recipe_run):
    run = recipe_run("cross-entropy")
    assert any("only 3 optimizer steps" in sentence for sentence in _manifest(run)["warnings"])
    assert "only 3 optimizer steps" in (run / "train.log").read_text()


def test_tensorboard_has_the_curves_of_every_term(recipe_run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(recipe_run("mixed") / "tensorboard"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    for term in ("cross_entropy", "sinkhorn", "generalized_dice"):
        assert f"train/term/{term}" in tags
        assert f"eval/{term}" in tags
    assert {"train/loss", "eval/loss"} <= tags


def test_no_tracking_writes_no_tensorboard(small):
    run = train(small("tracking.report_to=[]")).path
    assert not (run / "tensorboard").exists()


def test_training_starts_from_another_runs_weights(recipe_run, small):
    start = recipe_run("cross-entropy")
    result = train(small(f"train.init_from={start}", "train.learning_rate=1e-9"))
    assert result.history["eval_loss"][-1] == pytest.approx(_evaluations(start)[-1], rel=1e-5)


def test_weights_that_are_not_there_are_told(small, tmp_path: Path):
    with pytest.raises(InputError, match="nothere"):
        train(small(f"train.init_from={tmp_path / 'nothere'}"))


def test_no_validation_split_says_what_to_change(small):
    with pytest.raises(DataError, match="no validation split"):
        train(small("data.split={validation: 0, test: 0.1}"))
    result = train(
        small(
            "data.split={validation: 0, test: 0.1}",
            "train.eval_strategy=no",
            "train.load_best_model_at_end=false",
        )
    )
    assert "eval_loss" not in result.history
    assert (result.path / "model" / "model.safetensors").exists()


def test_null_training_evaluates_the_base_as_it_is(recipe_run, small, tmp_path: Path):
    base = recipe_run("cross-entropy") / "model"
    given = small("train=null", f"model={{base: {base}, adapter: none}}")
    given = [one for one in given if not one.startswith(("train.", "model.")) and one != "model=scratch-tiny"]
    run = lossmith.run("recipes/cross-entropy", given, quiet=True)
    assert not (run / "model").exists()
    assert not (run / "history.jsonl").exists()
    metrics = json.loads((run / "metrics.json").read_text())
    theirs = json.loads((recipe_run("cross-entropy") / "metrics.json").read_text())
    assert metrics["metrics"]["chrf"]["value"] == theirs["metrics"]["chrf"]["value"]
    with pytest.raises(ConfigError, match="nothing to train"):
        lossmith.train("recipes/cross-entropy", given)


def _mean_loss(run: Path) -> float:
    """Token-exact cross-entropy of the saved model on the validation rows, by plain transformers."""
    import pyarrow.parquet as pq
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(run / "model", dtype=torch.float32).eval()
    table = pq.read_table(Path(_manifest(run)["data"]["folder"]) / "validation.parquet")
    total, count = 0.0, 0
    for row in table.to_pylist():
        ids = torch.tensor([row["input_ids"]])
        with torch.no_grad():
            logs = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        picked = -logs.gather(1, ids[0, 1:, None])[:, 0]
        for span in row["supervised"]:
            total += float(picked[span["start"] - 1 : span["end"] - 1].sum())
            count += span["end"] - span["start"]
    return total / count


def _lines(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


def _evaluations(run: Path) -> list[float]:
    return [line["eval_loss"] for line in _lines(run) if "eval_loss" in line]


def _manifest(run: Path) -> dict:
    return json.loads((run / "manifest.json").read_text())
