"""Classification by a model that writes, end to end: what is trained, scored, parsed, saved and loaded again."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import lossmith
from lossmith.errors import ConfigError

WORDS = {"good": ["sun", "joy", "gift"], "bad": ["mud", "pain", "rust"]}
SMALL = (
    "model.base=scratch-tiny",
    "model.vocab_size=330",
    "model.hidden_size=32",
    "model.num_hidden_layers=2",
    "model.num_attention_heads=2",
    "tracking.report_to=[]",
    "data.label=y",
    "data.id=id",
    "data.split={column: split}",
    "data.max_length=200",
    "objective={cross_entropy: 1}",
)
TRAINED = (
    "train.device=cpu",
    "train.learning_rate=0.01",
    "train.per_device_train_batch_size=16",
    "train.eval_strategy=no",
    "train.load_best_model_at_end=false",
)
PROMPTS = """
strategies:
  words:
    user: "{{ text }} ->"
    label_words: {good: fine, bad: finest}
  object:
    method: json_answer
    user: "{{ text }}"
    answer: {why: why}
    generate: {max_new_tokens: 40}
"""


@pytest.fixture(scope="module")
def records(workplace: Path) -> Path:
    """Texts whose first word says the class; the reason is missing where the class is bad."""
    rng, lines = random.Random(0), []
    for number in range(120):
        label = ("good", "bad")[number % 2]
        word = rng.choice(WORDS[label])
        split = "test" if number >= 100 else "train"
        record = {"id": f"r{number}", "text": f"{word} {rng.choice('abcd')}", "y": label, "split": split}
        lines.append(json.dumps({**record, "why": word if label == "good" else None, "g": "xy"[number % 3 == 0]}))
    file = workplace / "words.jsonl"
    file.write_text("\n".join(lines) + "\n")
    (workplace / "prompts.yaml").write_text(PROMPTS)
    return file


@pytest.fixture(scope="module")
def predicted(workplace: Path, records: Path) -> Callable[..., Path]:
    """The run of a strategy after some steps, with its test split predicted."""
    made: dict[tuple[str, int], Path] = {}

    def of(strategy: str, steps: int) -> Path:
        if (strategy, steps) not in made:
            own = [f"data.files={records}", f"task.prompts={workplace / 'prompts.yaml'}", f"task.strategy={strategy}"]
            own += [f"runs_dir={workplace / 'runs'}", f"name={strategy}-{steps}", f"train.max_steps={steps}"]
            run = lossmith.train("classification", [*SMALL, *TRAINED, *own], quiet=True).path
            lossmith.predict(run)
            made[strategy, steps] = run
        return made[strategy, steps]

    return of


def rows_of(run: Path) -> list[dict]:
    return pq.read_table(run / "predictions" / "test.parquet").to_pylist()


def log_likelihood(run: Path, prompt: str, answer: str) -> float:
    """By plain transformers from the saved model, one prompt and one answer at a time."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    model = AutoModelForCausalLM.from_pretrained(run / "model", dtype=torch.float32).eval()
    first, then = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, answer))
    with torch.no_grad():
        logs = model(torch.tensor([first + then])).logits[0].double().log_softmax(-1)
    return sum(float(logs[len(first) - 1 + place, token]) for place, token in enumerate(then))


# -- label words ----------------------------------------------------------------------------------------------------


def test_every_class_has_a_score_and_the_likelier_one_is_predicted(predicted):
    rows = rows_of(predicted("words", 15))
    assert len(rows) == 20
    for row in rows:
        assert row["score.good"] + row["score.bad"] == pytest.approx(1)
        assert row["predicted"] == max(("good", "bad"), key=lambda name: row[f"score.{name}"])
        assert row["prediction"] == {"good": "fine", "bad": "finest"}[row["predicted"]]
        assert row["target"] == {"good": "fine", "bad": "finest"}[row["label"]]


def test_scores_are_the_naive_likelihoods_of_what_training_taught(predicted):
    run = predicted("words", 15)
    end = json.loads((run / "model" / "tokenizer_config.json").read_text())["eos_token"]
    for row in rows_of(run)[:4]:
        logs = [log_likelihood(run, row["prompt"], word + end) for word in ("finest", "fine")]
        scores = [row["score.bad"], row["score.good"]]
        assert math.log(scores[0] / scores[1]) == pytest.approx(logs[0] - logs[1], abs=1e-5)


def test_the_predictions_file_tells_how_classes_were_decided(predicted):
    file = predicted("words", 15) / "predictions" / "test.parquet"
    known = json.loads(pq.read_schema(file).metadata[b"lossmith"])
    assert known["classes"]["names"] == ["bad", "good"]
    assert known["threshold"] == 0.5


def test_predicting_again_from_the_saved_model_gives_the_same_scores(predicted):
    run = predicted("words", 15)
    before = rows_of(run)
    lossmith.predict(run, ["generate.batch_size=3"])
    for one, other in zip(before, rows_of(run), strict=True):
        assert one["score.good"] == pytest.approx(other["score.good"], abs=1e-6)


# -- JSON answers ---------------------------------------------------------------------------------------------------


def test_json_answers_are_parsed_and_their_confidence_is_the_labels_likelihood(predicted):
    run = predicted("object", 150)
    rows = rows_of(run)
    good = [row for row in rows if row["error"] is None]
    assert len(good) >= 15, [row["prediction"] for row in rows]
    for row in good:
        said = json.loads(row["prediction"])
        assert row["predicted"] == said["classification"]
        assert row["answer.why"] == said.get("why")
        assert row["score.good"] + row["score.bad"] == pytest.approx(1)
    assert sum(row["predicted"] == row["label"] for row in good) >= 0.8 * len(good)
    row = good[0]
    # The prefix is forced; the class is said by its word and whatever closes it: a brace, or a comma before a key.
    opened = '{"classification": "' + row["predicted"]
    closings = [log_likelihood(run, row["prompt"], opened + closing) for closing in ('"}', '",')]
    assert row["confidence"] == pytest.approx(sum(math.exp(one) for one in closings), rel=1e-4)


def test_targets_hold_the_keys_that_records_have(predicted):
    for row in rows_of(predicted("object", 150)):
        assert set(json.loads(row["target"])) == {"classification", *(["why"] if row["label"] == "good" else [])}


def test_what_cannot_be_parsed_is_a_failed_row_with_its_text(predicted):
    rows = rows_of(predicted("object", 1))
    for row in rows:
        assert row["error"].startswith("unparsable answer: ")
        assert row["prediction"]
        assert [row[key] for key in ("predicted", "score.good", "score.bad", "confidence", "answer.why")] == [None] * 5
        assert row["label"] in ("good", "bad")


def test_constrained_answers_are_all_parsed_however_little_was_learnt(predicted):
    pytest.importorskip("llguidance", reason="llguidance is not installed; pip install lossmith[structured]")
    run = predicted("object", 1)
    free = rows_of(run)
    path = lossmith.predict(run, ["generate.constrained=true", "generate.max_new_tokens=150"])
    rows = pq.read_table(path).to_pylist()
    lossmith.predict(run)
    assert [row["id"] for row in rows] == [row["id"] for row in free]
    whole = [row for row in rows if row["error"] is None]
    assert whole, [row["error"] for row in rows]
    # A reason has no bound in this schema, so it may be cut; the class is always one of the words.
    assert all(row["prediction"].startswith('{"classification": "') for row in rows)
    assert {row["predicted"] for row in whole} <= {"good", "bad"}


def test_a_term_may_read_a_key_of_the_answer(predicted, workplace, records):
    own = [f"data.files={records}", f"task.prompts={workplace / 'prompts.yaml'}", "task.strategy=object"]
    objective = "objective={cross_entropy: 0.5, focal: {weight: 0.5, span: classification}, entropy_penalty: {weight: 0.1, span: why}}"
    run = lossmith.train(
        "classification",
        [*SMALL, *TRAINED, *own, objective, f"runs_dir={workplace / 'runs'}", "name=spans", "train.max_steps=2"],
        quiet=True,
    )
    assert {"term/focal", "term/entropy_penalty"} <= set(run.history)


def test_a_threshold_has_no_say_in_a_json_answer(workplace, records):
    own = [f"data.files={records}", f"task.prompts={workplace / 'prompts.yaml'}", "task.strategy=object"]
    with pytest.raises(ConfigError, match="says its class itself"):
        lossmith.train(
            "classification",
            [*SMALL, *TRAINED, *own, f"runs_dir={workplace / 'runs'}", "name=threshold", "evaluate.threshold=0.7"],
            quiet=True,
        )


# -- export ---------------------------------------------------------------------------------------------------------


def test_rendered_messages_are_written_by_split(command, workplace, records, tmp_path):
    own = [*SMALL, f"data.files={records}", f"task.prompts={workplace / 'prompts.yaml'}", "task.strategy=object"]
    out = tmp_path / "messages.jsonl"
    told = command("prepare", "classification", *own, "--export-jsonl", out, "--split", "test", "--json")
    assert told.code == 0, told.err
    assert json.loads(told.out)["exported"] == {"file": str(out), "records": 20}
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["id"] for line in lines] == [f"r{number}" for number in range(100, 120)]
    assert {line["split"] for line in lines} == {"test"}
    for line in lines:
        assert [message["role"] for message in line["messages"]] == ["user", "assistant"]
        assert json.loads(line["messages"][-1]["content"])["classification"] == line["label"]
    assert command("prepare", "classification", *own, "--split", "test").code == 2
    assert command("prepare", "classification", *own, "--export-jsonl", out, "--split", "tset").code == 2
