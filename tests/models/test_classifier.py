"""Models with a class head: where the head comes from, what keeps it, and that what is saved gives the same scores."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lossmith.config.model import ModelConfig
from lossmith.errors import InputError
from lossmith.models.base_tokenizer import load_tokenizer
from lossmith.models.class_head import ClassHead
from lossmith.models.classifier import load_classifier
from lossmith.models.pooled import HEAD_FILE, PooledClassifier, saved_head, sentence_pooling
from lossmith.models.precision import choose_precision
from lossmith.models.save import save_model
from lossmith.models.tokenizer import train_encoder_tokenizer

from .conftest import TEXTS

CPU = choose_precision(device="cpu", dtype="float32")
THREE = ClassHead(("eggs", "flour", "other"), "softmax")
ONE = ClassHead(("eggs",), "sigmoid")
SENTENCES = ["Whisk 3 eggs with 50 g of flour.", "Bake.", "Fold in the butter and bake for 7 minutes, then whisk."]
SHAPE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Backbones without any head: BERT, DistilBERT, RoBERTa, ModernBERT, and BERT as the folder of a sentence encoder."""
    from transformers import (
        BertConfig,
        BertModel,
        DistilBertConfig,
        DistilBertModel,
        ModernBertConfig,
        ModernBertModel,
        RobertaConfig,
        RobertaModel,
    )

    tokenizer = train_encoder_tokenizer(TEXTS, vocab_size=340)
    words = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "max_position_embeddings": 130}
    torch.manual_seed(0)
    made = {
        "bert": BertModel(BertConfig(**words, **SHAPE)),
        "distilbert": DistilBertModel(DistilBertConfig(**words, dim=32, hidden_dim=48, n_layers=2, n_heads=4)),
        "roberta": RobertaModel(RobertaConfig(**words, **SHAPE)),
        "modernbert": ModernBertModel(ModernBertConfig(**words, **SHAPE, cls_token_id=1, sep_token_id=2)),
        "sentence": BertModel(BertConfig(**words, **SHAPE)),
    }
    folder = tmp_path_factory.mktemp("encoders")
    for name, model in made.items():
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    (folder / "sentence" / "1_Pooling").mkdir()
    settings = {"word_embedding_dimension": 32, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    (folder / "sentence" / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    return {name: folder / name for name in made}


def load(base: Path, head: ClassHead = THREE, *, training: bool = True, seed: int = 0, **keys):
    config = ModelConfig(base=str(base), **keys)
    tokenizer = load_tokenizer(config)
    return load_classifier(config, tokenizer, head, precision=CPU, seed=seed, training=training), tokenizer


def scores(model, tokenizer) -> torch.Tensor:
    batch = tokenizer(SENTENCES, padding=True, return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        return model.eval()(**batch).logits


def train_a_little(loaded, tokenizer) -> torch.Tensor:
    optimizer = torch.optim.AdamW([p for p in loaded.model.parameters() if p.requires_grad], lr=0.02)
    batch = tokenizer(SENTENCES, padding=True, return_tensors="pt", return_token_type_ids=False)
    loaded.model.train()
    for _ in range(2):
        loaded.model(**batch).logits.square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return scores(loaded.model, tokenizer)


@pytest.mark.parametrize("name", ["bert", "distilbert", "roberta", "modernbert", "sentence"])
def test_a_base_without_a_head_gets_one_that_follows_from_the_seed(encoders, name):
    state = torch.random.get_rng_state()
    first, tokenizer = load(encoders[name], adapter="none")
    assert torch.equal(torch.random.get_rng_state(), state)
    again, other = (load(encoders[name], adapter="none", seed=seed)[0] for seed in (0, 1))
    assert scores(first.model, tokenizer).shape == (3, 3)
    assert torch.equal(scores(first.model, tokenizer), scores(again.model, tokenizer))
    assert not torch.equal(scores(first.model, tokenizer), scores(other.model, tokenizer))
    told = [note for note in first.notes if "eggs, flour, other" in note]
    assert len(told) == 1
    assert "random" in told[0]


def test_a_fine_tuned_head_stays_where_the_labels_are_the_same(encoders, tmp_path):
    loaded, tokenizer = load(encoders["bert"], adapter="none")
    trained = train_a_little(loaded, tokenizer)
    save_model(loaded.model, tokenizer, tmp_path / "tuned", end_ids=())
    again, _ = load(tmp_path / "tuned", adapter="none")
    assert torch.equal(scores(again.model, tokenizer), trained)
    assert any("keeps its head" in note for note in again.notes)
    with pytest.raises(InputError, match="tells other labels apart") as caught:
        load(tmp_path / "tuned", ClassHead(("eggs", "flour", "milk"), "softmax"))
    assert "eggs, flour, other" in str(caught.value)
    with pytest.raises(InputError, match="the same in another order") as caught:
        load(tmp_path / "tuned", ClassHead(("other", "eggs", "flour"), "softmax"))
    assert "task.classes=[eggs, flour, other]" in str(caught.value)
    fewer, _ = load(tmp_path / "tuned", ONE, adapter="none")
    assert scores(fewer.model, tokenizer).shape == (3, 1)
    assert any("random weights" in note for note in fewer.notes)


def test_a_model_that_is_only_asked_must_have_its_head(encoders):
    with pytest.raises(InputError, match="has no head of these labels"):
        load(encoders["bert"], training=False)
    with pytest.raises(InputError, match="has no class head"):
        load(encoders["sentence"], training=False)


def test_a_checkpoint_without_its_backbone_is_refused(encoders, tmp_path):
    from safetensors.torch import load_file, save_file

    for file in encoders["bert"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    kept = {name: tensor for name, tensor in load_file(tmp_path / "model.safetensors").items() if "layer.1" not in name}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="lacks weights of its backbone"):
        load(tmp_path)


PLAIN = """
import json, sys, warnings
warnings.filterwarnings("ignore")
import torch
from peft import AutoPeftModelForSequenceClassification
from transformers import AutoModelForSequenceClassification, AutoTokenizer
answers = {}
for folder, (names, pad) in json.loads(sys.argv[1]).items():
    tokenizer = AutoTokenizer.from_pretrained(folder)
    kind, more = AutoModelForSequenceClassification, {}
    if "lora" in folder:
        kind, more = AutoPeftModelForSequenceClassification, {"num_labels": len(names), "pad_token_id": pad}
    model = kind.from_pretrained(folder, dtype=torch.float32, **more).eval()
    if not more:
        assert [model.config.id2label[n] for n in range(len(names))] == names
    batch = tokenizer(json.loads(sys.argv[2]), padding=True, return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        answers[folder] = model(**batch).logits.tolist()
assert "lossmith" not in sys.modules
print(json.dumps(answers))
"""


def test_plain_transformers_and_peft_give_the_same_scores(encoders, bases, tmp_path):
    trained, asked = {}, {}
    for name, base in {**encoders, "decoder": bases["untied"]}.items():
        for kind, keys in {"whole": {"adapter": "none"}, "lora": {}}.items():
            if name == "sentence":
                continue
            loaded, tokenizer = load(base, **keys)
            folder = tmp_path / f"{name}-{kind}"
            trained[folder] = train_a_little(loaded, tokenizer)
            save_model(loaded.model, tokenizer, folder, end_ids=())
            asked[str(folder)] = (THREE.names, tokenizer.pad_token_id)
            again, _ = load(folder, training=False)
            torch.testing.assert_close(scores(again.model, tokenizer), trained[folder], rtol=0, atol=1e-6)
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, json.dumps(asked), json.dumps(SENTENCES)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == 10
    for folder, logits in trained.items():
        torch.testing.assert_close(torch.tensor(found[str(folder)]), logits, rtol=0, atol=1e-6, msg=str(folder))


@pytest.mark.parametrize("name", ["bert", "distilbert", "roberta", "modernbert"])
def test_lora_trains_the_whole_head_and_nothing_of_the_backbone(encoders, name):
    loaded, _ = load(encoders[name])
    trains = {path for path, parameter in loaded.model.named_parameters() if parameter.requires_grad}
    assert all("lora_" in path or "modules_to_save" in path for path in trains)
    whole = {path.split(".modules_to_save")[0].rpartition(".")[2] for path in trains if "modules_to_save" in path}
    more = {"distilbert": {"pre_classifier"}, "modernbert": {"head"}}
    assert whole == {"classifier"} | more.get(name, set())


def test_an_adapter_that_was_made_to_write_cannot_classify(bases, tmp_path):
    from lossmith.models.load import load_model

    config = ModelConfig(base=str(bases["tied"]))
    tokenizer = load_tokenizer(config)
    save_model(load_model(config, tokenizer, precision=CPU).model, tokenizer, tmp_path / "writer", end_ids=(1,))
    with pytest.raises(InputError, match="would leave the class head untrained"):
        load(tmp_path / "writer")


def test_positions_that_padding_keeps_are_not_counted(encoders, bases):
    from lossmith.models.reach import positions_of

    # The tests' tokenizer pads with its first token.
    for name, positions in {"bert": 130, "roberta": 129, "modernbert": 130, "sentence": 130}.items():
        loaded, tokenizer = load(encoders[name])
        assert positions_of(loaded.model) == positions
        ids = torch.full((1, positions), tokenizer.sep_token_id)
        with torch.no_grad():
            loaded.model(input_ids=ids, attention_mask=torch.ones_like(ids))
    assert positions_of(load(bases["tied"])[0].model) == 256


def test_padding_does_not_touch_the_scores_of_a_decoder(bases):
    loaded, tokenizer = load(bases["tied"], adapter="none")
    together = scores(loaded.model, tokenizer)
    with torch.no_grad():
        alone = [loaded.model(**tokenizer(one, return_tensors="pt")).logits[0] for one in SENTENCES]
    torch.testing.assert_close(together, torch.stack(alone), rtol=0, atol=1e-6)
    assert loaded.model.config.pad_token_id == tokenizer.pad_token_id


@pytest.mark.parametrize("keys", [{"adapter": "none"}, {"adapter": "lora"}])
def test_a_sentence_encoder_is_pooled_and_comes_back(encoders, tmp_path, keys):
    loaded, tokenizer = load(encoders["sentence"], **keys)
    assert isinstance(loaded.model, PooledClassifier)
    assert loaded.model.pooling == "mean"
    assert any(HEAD_FILE in note and "loaded by lossmith" in note for note in loaded.notes)
    trained = train_a_little(loaded, tokenizer)
    save_model(loaded.model, tokenizer, tmp_path / "model", end_ids=())
    assert saved_head(tmp_path / "model") == ("mean", THREE)
    again, _ = load(tmp_path / "model", training=False)
    torch.testing.assert_close(scores(again.model, tokenizer), trained, rtol=0, atol=1e-6)
    assert not any(parameter.requires_grad for parameter in again.model.parameters())
    with pytest.raises(InputError, match="tells other labels apart"):
        load(tmp_path / "model", ClassHead(("a", "b", "c"), "softmax"))


def test_pooling_reads_each_text_alone(encoders):
    for pooling in ("mean", "cls", "last"):
        loaded, tokenizer = load(encoders["bert"], adapter="none", pooling=pooling)
        assert isinstance(loaded.model, PooledClassifier)
        together = scores(loaded.model, tokenizer)
        one = tokenizer(SENTENCES[1], return_tensors="pt", return_token_type_ids=False)
        with torch.no_grad():
            hidden = loaded.model.backbone(**one).last_hidden_state[0]
            state = {"mean": hidden.mean(0), "cls": hidden[0], "last": hidden[-1]}[pooling]
            torch.testing.assert_close(together[1], loaded.model.head(state), rtol=0, atol=1e-5)


def test_an_unknown_pooling_is_told(tmp_path, encoders):
    assert sentence_pooling(str(encoders["bert"])) is None
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(InputError, match="pools in a way that is not known here"):
        sentence_pooling(str(tmp_path))


@pytest.mark.parametrize(
    ("mode", "expected"), [("mean", "mean"), (["cls"], "cls"), ("lasttoken", "last"), ("max", None)]
)
def test_poolings_as_newer_sentence_encoders_name_them(tmp_path, mode, expected):
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({"embedding_dimension": 8, "pooling_mode": mode}))
    if expected is None:
        with pytest.raises(InputError, match=r"(?s)pools in a way that is not known here.*got: max"):
            sentence_pooling(str(tmp_path))
    else:
        assert sentence_pooling(str(tmp_path)) == expected


@pytest.mark.parametrize(
    ("head", "squash"),
    [
        (THREE, lambda z: torch.softmax(z, -1)),
        (ClassHead(("eggs", "flour"), "sigmoid"), torch.sigmoid),
        (ONE, torch.sigmoid),
    ],
)
def test_a_pipeline_of_transformers_gives_the_same_probabilities(encoders, tmp_path, head, squash):
    from transformers import pipeline

    loaded, tokenizer = load(encoders["roberta"], head, adapter="none")
    trained = train_a_little(loaded, tokenizer)
    save_model(loaded.model, tokenizer, tmp_path / "model", end_ids=())
    told = pipeline("text-classification", model=str(tmp_path / "model"), device="cpu", top_k=None)(SENTENCES)
    for row, own in zip(squash(trained), told, strict=True):
        by_name = {each["label"]: each["score"] for each in own}
        assert [by_name[name] for name in head.names] == pytest.approx(row.tolist(), abs=1e-6)


def test_4_bit_weights_carry_a_head_that_is_whole(bases, tmp_path):
    pytest.importorskip("bitsandbytes", reason="the extra 'quant' is not installed")
    loaded, tokenizer = load(bases["untied"], load_in_4bit=True, bnb_4bit_compute_dtype="float32")
    kinds = {type(module).__name__ for module in loaded.model.modules()}
    assert any("4bit" in kind for kind in kinds)
    head = loaded.model.base_model.model.score
    assert type(head.modules_to_save["default"]) is torch.nn.Linear
    before = head.modules_to_save["default"].weight.detach().clone()
    trained = train_a_little(loaded, tokenizer)
    assert not torch.equal(head.modules_to_save["default"].weight, before)
    save_model(loaded.model, tokenizer, tmp_path / "lora", end_ids=())
    again, _ = load(tmp_path / "lora", training=False, load_in_4bit=True, bnb_4bit_compute_dtype="float32")
    torch.testing.assert_close(scores(again.model, tokenizer), trained, rtol=0, atol=1e-6)
