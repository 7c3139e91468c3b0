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
from lossmith.models.base_tokenizer import tokenizer_key
from lossmith.models.precision import Precision, choose_precision
from lossmith.models.stored import Stored, stored_model
from lossmith.release.asking import Said, ask
from lossmith.release.drift import TOLERANCES, complaints, drift
from lossmith.runs import read_json, write_json


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
    first = _asked(original, asked, precision, _whole(config))
    second = _asked(copy, asked, precision, None)
    found = drift(first, second, tolerance=tolerance)
    hashes = [tokenizer_key(ModelConfig(base=str(stored.folder))) for stored in (original, copy)]
    wrong = complaints(found, tolerance=tolerance)
    if hashes[0] != hashes[1]:
        wrong.append("the tokenizer, its special tokens or its chat template are others")
    result = {
        "kind": copy.kind,
        "dtype": copy.dtype,
        "device": str(precision.device),
        "tolerance": tolerance,
        "tokenizer": {"original": hashes[0], "copy": hashes[1]},
        "drift": found.as_json(),
        "complaints": wrong,
    }
    if config is not None and config.load_in_4bit and importlib.util.find_spec("bitsandbytes"):
        trained = _asked(original, asked, precision, config)
        result["drift_from_4bit"] = drift(trained, second, tolerance=tolerance).as_json()
    return result


def _whole(config: ModelConfig | None) -> ModelConfig | None:
    """The configuration with its base as it is stored: what an adapter is merged into."""
    return None if config is None else config.model_copy(update={"load_in_4bit": False})


def _asked(stored: Stored, probes: Sequence[str], precision: Precision, config: ModelConfig | None) -> list[Said]:
    said = ask(stored, probes, precision=precision, config=config)
    # Two models at a time need not fit into memory.
    gc.collect()
    return said


if __name__ == "__main__":
    write_json(Path(sys.argv[2]), examine(read_json(Path(sys.argv[1]))))
