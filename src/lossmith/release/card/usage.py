"""How a model that was given away is used, in a few lines that run as they stand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lossmith.config.schema import Config
from lossmith.models.stored import Stored
from lossmith.release.card.markdown import code, section

_WRITER = """from transformers import {imported}AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({name!r})
model = {loader}.from_pretrained({name!r})
{inputs}
output = model.generate(**inputs, {settings})
print(tokenizer.decode(output[0{cut}], skip_special_tokens=True))"""
_CLASSIFIER = """from transformers import pipeline

classify = pipeline("text-classification", model={name!r}, top_k=None)
print(classify({text!r}))"""
_ADAPTED_CLASSIFIER = """from peft import AutoPeftModelForSequenceClassification
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({name!r})
model = AutoPeftModelForSequenceClassification.from_pretrained({name!r}, num_labels={outputs})
print(model(**tokenizer({text!r}, return_tensors="pt")).logits.{activation})"""
_BY_LOSSMITH = """from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from lossmith.models.precision import choose_precision
from lossmith.models.stored import load_stored, stored_model

stored = stored_model(Path(snapshot_download({name!r})))
loaded, tokenizer = load_stored(stored, precision=choose_precision(dtype="float32"))
inputs = tokenizer({text!r}, return_tensors="pt", return_token_type_ids=False)
with torch.no_grad():
    print(loaded.model(**inputs).logits.{activation})"""
_SETTINGS = ("max_new_tokens", "do_sample", "num_beams", "temperature", "top_p", "top_k", "repetition_penalty")


def usage_section(name: str, stored: Stored, config: Config, facts: Mapping[str, Any]) -> str:
    """Code that loads the model by `name` and asks it, the template of its records, and how its scores decide."""
    if stored.kind == "retrieval":
        told = "This is a retrieval classifier of lossmith: put the folder into a run as `model/` to predict with it."
        return section("How to use", told, _template(config))
    return section("How to use", code(_lines(name, stored, config), "python"), _template(config), _decision(facts))


def _lines(name: str, stored: Stored, config: Config) -> str:
    if stored.writes:
        return _writing(name, stored, config)
    assert stored.head is not None, "what does not write has a head"
    activation = "softmax(-1)" if stored.head.activation == "softmax" else "sigmoid()"
    asked = {"name": name, "text": "...", "activation": activation, "outputs": len(stored.head.names)}
    if stored.kind == "pooled":
        return _BY_LOSSMITH.format(**asked)
    return (_ADAPTED_CLASSIFIER if stored.is_adapter else _CLASSIFIER).format(**asked)


def _writing(name: str, stored: Stored, config: Config) -> str:
    kind = "Seq2SeqLM" if stored.kind == "seq2seq" else "CausalLM"
    loader = f"AutoPeftModelFor{kind}" if stored.is_adapter else f"AutoModelFor{kind}"
    library = "peft" if stored.is_adapter else "transformers"
    template = config.data.template
    chat = config.data.messages is not None or (isinstance(template, Mapping) and "messages" in template)
    if chat and stored.kind == "causal":
        inputs = (
            'messages = [{"role": "user", "content": "..."}]\n'
            "inputs = tokenizer.apply_chat_template(\n"
            '    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"\n)'
        )
    else:
        special = "" if stored.kind == "seq2seq" else "add_special_tokens=False, "
        inputs = f'inputs = tokenizer("...", {special}return_tensors="pt", return_token_type_ids=False)'
    settings = config.generate.model_dump(exclude_none=True)
    told = ", ".join(f"{key}={settings[key]!r}" for key in _SETTINGS if settings.get(key) not in (None, {}, []))
    lines = _WRITER.format(
        name=name,
        loader=loader,
        imported=f"{loader}, " if library == "transformers" else "",
        inputs=inputs,
        settings=told,
        cut="" if stored.kind == "seq2seq" else ', inputs["input_ids"].shape[1] :',
    )
    return f"from peft import {loader}\n{lines}" if library == "peft" else lines


def _template(config: Config) -> str:
    """How records became text: what the model was taught to read."""
    template = config.data.template
    if template is None:
        return ""
    told = template if isinstance(template, str) else json.dumps(template, ensure_ascii=False, indent=1)
    return "Records were rendered with this template:\n\n" + code(
        told, "json" if isinstance(template, dict) else "jinja"
    )


def _decision(facts: Mapping[str, Any]) -> str:
    decision = facts.get("decision")
    if not decision:
        return ""
    kept = {name: value for name, value in decision.items() if name in ("threshold", "temperature", "thresholds")}
    told = ", ".join(f"{name} {json.dumps(value)}" for name, value in kept.items() if value is not None)
    return f"Scores became decisions by: {told}. The code above leaves this to you."
