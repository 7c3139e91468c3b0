"""The process that verification starts: it has seen neither training nor merge, and reads what lies on the disk.

Called with the file of a request and the file to write the result to, both JSON.
"""

from __future__ import annotations

import gc
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lossmith.config.model import ModelConfig
from lossmith.errors import LossmithError
from lossmith.models.base_tokenizer import tokenizer_key
from lossmith.models.precision import choose_precision
from lossmith.models.stored import stored_model
from lossmith.release.asking import ask, open_model
from lossmith.release.drift import TOLERANCES, complaints, drift
from lossmith.release.weights_apart import ROUNDED, weights_apart
from lossmith.release.weights_apart import complaints as other_weights
from lossmith.runs import read_json, write_json

_TOKENIZER_SETTINGS = ("padding_side", "truncation_side", "model_max_length", "clean_up_tokenization_spaces")


def examine(request: Mapping[str, Any]) -> dict[str, Any]:
    """Ask the original and the copy the same, and compare.

    `copy` and `original` are folders, `model` is the configuration of the run that the original is from, or null,
    `probes` the texts, `tolerance` a number or null for that of the copy's number format.
    """
    precision = choose_precision(device="auto", dtype="float32")
    copy, original = stored_model(Path(request["copy"])), stored_model(Path(request["original"]))
    config = ModelConfig.model_validate(request["model"]) if request["model"] else None
    asked: Sequence[str] = request["probes"]
    tolerance = request["tolerance"] or TOLERANCES.get(copy.dtype or "float32", TOLERANCES["bfloat16"])
    dtype = copy.dtype or "float32"
    steps = request["tolerance"] or ROUNDED.get(dtype, ROUNDED["bfloat16"])
    opened = open_model(original, precision=precision, config=_whole(config))
    first, tokenizer = ask(opened, asked), opened.tokenizer
    apart = weights_apart(opened.model, copy.folder)
    # Two models at a time need not fit into memory.
    del opened
    gc.collect()
    opened = open_model(copy, precision=precision, config=None)
    second = ask(opened, asked)
    found = drift(first, second, tolerance=tolerance)
    hashes = [tokenizer_key(ModelConfig(base=str(stored.folder))) for stored in (original, copy)]
    wrong = [
        *complaints(found, tolerance=tolerance),
        *opened.misfits,
        *other_weights(apart, said=dtype, allowed=steps),
        *_other_tokenizer(tokenizer, opened.tokenizer, hashes),
    ]
    result = {
        "kind": copy.kind,
        "dtype": copy.dtype,
        "device": str(precision.device),
        "tolerance": tolerance,
        "tokenizer": {"original": hashes[0], "copy": hashes[1]},
        "drift": found.as_json(),
        "weights": apart.as_json(),
        "complaints": wrong,
    }
    if config is not None and config.load_in_4bit and importlib.util.find_spec("bitsandbytes"):
        del opened
        gc.collect()
        trained = ask(open_model(original, precision=precision, config=config), asked)
        result["drift_from_4bit"] = drift(trained, second, tolerance=tolerance).as_json()
    return result


def _other_tokenizer(original: Any, copy: Any, hashes: Sequence[str]) -> list[str]:
    told = [] if hashes[0] == hashes[1] else ["the tokenizer, its special tokens or its chat template are others"]
    pairs = [(name, getattr(original, name, None), getattr(copy, name, None)) for name in _TOKENIZER_SETTINGS]
    return told + [f"the tokenizer's {name} is {new}, was {old}" for name, old, new in pairs if old != new]


def _whole(config: ModelConfig | None) -> ModelConfig | None:
    """The configuration with its base as it is stored: what an adapter is merged into."""
    return None if config is None else config.model_copy(update={"load_in_4bit": False})


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """What was found, or under `error` why nothing could be."""
    try:
        return examine(request)
    except LossmithError as error:
        return {"error": {"message": error.message, "got": error.got, "expected": error.expected, "fix": error.fix}}


if __name__ == "__main__":
    write_json(Path(sys.argv[2]), _answer(read_json(Path(sys.argv[1]))))
