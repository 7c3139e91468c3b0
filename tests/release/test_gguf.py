"""GGUF files hold the merged model: read back here, and loaded by transformers, which write no part of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from lossmith.errors import InputError, LossmithError
from lossmith.models.tokenizer import train_tokenizer
from lossmith.release.gguf.architecture import rope_factors, shape_of
from lossmith.release.gguf.vocabulary import vocabulary_of
from lossmith.release.gguf.weights import Weight, interleaved
from lossmith.release.gguf.write import _read_back, write_gguf

from .conftest import ROWS

gguf = pytest.importorskip("gguf", reason="the extra gguf is not installed")

TEXTS = [f"{row['p']} {row['a']}" for row in ROWS]
IDS = torch.tensor([[5, 40, 77, 90, 200, 6, 31]])


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny models of each family; the Llama with positions of Llama 3 and rows to spare, the Qwen 2 with biases."""
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = train_tokenizer(TEXTS, vocab_size=340, chat_template="{{ messages }}")
    llama3 = {
        "rope_type": "llama3",
        "rope_theta": 10000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    own = {
        "llama": {"rope_parameters": llama3, "vocab_size": len(tokenizer) + 20, "tie_word_embeddings": False},
        "qwen2": {"tie_word_embeddings": True},
        "qwen3": {"head_dim": 16, "tie_word_embeddings": True},
    }
    made = {}
    for family, keys in own.items():
        shape = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
        words = {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
        more = {"num_key_value_heads": 2, "max_position_embeddings": 256, "pad_token_id": tokenizer.pad_token_id}
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **{**shape, **words, **more, **keys}))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        made[family] = tmp_path_factory.mktemp(family)
        model.save_pretrained(made[family])
        tokenizer.save_pretrained(made[family])
    return made


def _logits(folder: Path, **more) -> torch.Tensor:
    from transformers import AutoConfig, AutoModelForCausalLM

    # Given apart, because transformers read neither the width of a head nor the positions of Llama 3 from such files.
    config = AutoConfig.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=torch.float32, **more)
    with torch.no_grad():
        return model.eval()(IDS).logits


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize(("matrices", "tolerance"), [("f16", 1e-3), ("q8_0", 0.03)])
def test_transformers_read_the_file_as_the_same_model(families, family, matrices, tolerance):
    path = write_gguf(families[family], name="own", matrices=matrices)
    own, read = _logits(families[family]), _logits(families[family], gguf_file=path.name)
    apart = ((own - read).abs().max() / own.abs().max()).item()
    assert apart < tolerance
    assert matrices == "f16" or apart > 1e-4, "q8_0 does round"


def test_the_merged_model_of_a_run_gets_its_file(command, trained, tmp_path):
    done = command("merge", trained("tokens"), "--out", tmp_path / "merged", "--gguf", "q8_0", "--json")
    told = json.loads(done.out)
    assert done.code == 0, done.err
    assert Path(told["gguf"]) == tmp_path / "merged" / "tokens.q8_0.gguf"
    reader = gguf.GGUFReader(told["gguf"])
    assert "<dish>" in reader.get_field("tokenizer.ggml.tokens").contents()
    assert reader.get_field("tokenizer.chat_template").contents()


def test_positions_of_llama_3_are_slowed_as_transformers_slow_them(families):
    from transformers import AutoConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    config = AutoConfig.from_pretrained(families["llama"])
    wanted, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    plain = 1.0 / 10000.0 ** (np.arange(0, 16, 2) / 16)
    factors = rope_factors(shape_of(json.loads((families["llama"] / "config.json").read_text())))
    assert factors is not None
    assert factors.max() == 8.0 > factors.min() == 1.0
    np.testing.assert_allclose(plain / factors, wanted.numpy(), rtol=1e-6)


def test_tokens_have_their_kinds_and_spare_rows_are_unused(families):
    vocabulary = vocabulary_of(
        families["llama"], rows=shape_of(json.loads((families["llama"] / "config.json").read_text())).rows
    )
    assert vocabulary.cut == "smollm"
    assert (vocabulary.tokens[1], vocabulary.kinds[1]) == ("<|im_end|>", 3)
    assert vocabulary.kinds[-20:] == [5] * 20
    assert vocabulary.special["eos"] == 1


def test_a_value_changed_on_the_way_is_found(families):
    folder = families["qwen3"]
    path = write_gguf(folder, name="spoilt", matrices="q8_0")
    shape = shape_of(json.loads((folder / "config.json").read_text()))
    vocabulary = vocabulary_of(folder, rows=shape.rows)
    _read_back(path, folder, shape, vocabulary, matrices="q8_0")
    reader = gguf.GGUFReader(path, "r+")
    tensor = next(t for t in reader.tensors if t.name == "blk.1.ffn_up.weight")
    tensor.data[3, 10] ^= 0x40
    reader.data.flush()
    with pytest.raises(LossmithError, match=r"values of blk\.1\.ffn_up\.weight are further off"):
        _read_back(path, folder, shape, vocabulary, matrices="q8_0")


def test_the_error_that_is_allowed_is_no_more_than_the_format_makes():
    rng = np.random.default_rng(0)
    for scale in (1e-6, 1.0, 1e3):
        for name in ("f16", "q8_0"):
            values = (rng.standard_normal((64, 64)) * scale).astype(np.float32)
            weight = Weight("w", values, name)
            kind = gguf.GGMLQuantizationType.Q8_0 if name == "q8_0" else gguf.GGMLQuantizationType.F16
            back = gguf.quants.dequantize(weight.packed(), kind)
            apart = np.abs(back - values) / weight.error_allowed()
            assert 0.5 < apart.max() <= 1.0
    assert interleaved(np.arange(8), 2).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_what_the_format_cannot_say_is_refused(command, trained, families, tmp_path):
    done = command("merge", trained("pairs"), "--out", tmp_path / "a", "--gguf", "f16")
    assert (done.code, (tmp_path / "a").exists()) == (2, False)
    assert "only decoders" in done.err
    assert command("merge", trained("plain"), "--out", tmp_path / "b", "--gguf", "q4_k").code == 2
    # Of another family: told before the merge, whose base has no weights here.
    run, base = shutil.copytree(trained("plain"), tmp_path / "run"), tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text(json.dumps({"model_type": "gemma2"}))
    adapter = json.loads((run / "model" / "adapter_config.json").read_text())
    (run / "model" / "adapter_config.json").write_text(json.dumps({**adapter, "base_model_name_or_path": str(base)}))
    done = command("merge", run, "--gguf", "f16")
    assert (done.code, "family 'gemma2' are not written" in done.err) == (2, True), done.err
    folder = tmp_path / "other"
    shutil.copytree(families["qwen3"], folder, ignore=shutil.ignore_patterns("*.gguf"))
    config = json.loads((folder / "config.json").read_text())
    for changed, told in (
        ({"model_type": "gemma2"}, "family 'gemma2'"),
        ({"use_sliding_window": True}, "sliding window"),
        ({"rope_parameters": {"rope_type": "longrope"}}, "kind longrope"),
    ):
        with pytest.raises(InputError, match=told):
            shape_of({**config, **changed})
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["pre_tokenizer"]["pretokenizers"][0] = {"type": "WhitespaceSplit"}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(InputError, match="no name for"):
        write_gguf(folder, name="other", matrices="f16")
    assert not list(folder.glob("*.gguf"))
