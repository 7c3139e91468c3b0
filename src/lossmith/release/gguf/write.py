"""Write a merged model as one GGUF file, and read it back before it gets its name."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from lossmith.errors import InputError, LossmithError, unknown_name
from lossmith.models.source import find_source
from lossmith.models.stored import stored_model
from lossmith.release.gguf.architecture import Shape, shape_of, write_shape
from lossmith.release.gguf.vocabulary import Vocabulary, vocabulary_of, write_vocabulary
from lossmith.release.gguf.weights import Weight, weights_of
from lossmith.runs import atomic_path

FORMATS = ("f16", "q8_0")


def check_gguf(folder: Path, matrices: str) -> None:
    """Raise InputError, before anything is merged, for a format, a family, a shape or a tokenizer that is not written.

    `folder` holds a whole model, or an adapter of one.
    """
    if matrices not in FORMATS:
        raise unknown_name("format of GGUF", matrices, FORMATS, where="--gguf")
    if importlib.util.find_spec("gguf") is None:
        raise InputError(
            "writing GGUF needs the package gguf, which is not installed",
            got="--gguf",
            expected="the extra 'gguf'",
            fix="pip install 'lossmith[gguf]'",
        )
    kind = stored_model(folder).kind
    if kind != "causal":
        raise InputError(
            "only decoders that write text become GGUF files here", got=f"a model of the kind {kind}", expected="causal"
        )
    shape = shape_of(_config(folder))
    vocabulary_of(folder, rows=shape.rows)


def _config(folder: Path) -> dict[str, Any]:
    """The config.json of a model, or of an adapter's base."""
    from transformers import PretrainedConfig

    source = find_source(str(folder))
    return dict(PretrainedConfig.get_config_dict(source.base, revision=source.base_revision)[0])


def write_gguf(folder: Path, *, name: str, matrices: str) -> Path:
    """Write the model of a folder as `folder`/NAME.FORMAT.gguf; matrices take `matrices`, f16 or q8_0, vectors f32.

    The file is read back and compared before it gets its name: tensors, shapes, every value within half a step of its
    format, and the tokenizer. One tensor is in memory at a time.
    Raises InputError for a model, tokenizer or number that the format cannot hold, LossmithError for a file that does
    not say what was written.
    """
    check_gguf(folder, matrices)
    shape = shape_of(_config(folder))
    vocabulary = vocabulary_of(folder, rows=shape.rows)
    path = folder / f"{name}.{matrices}.gguf"
    with atomic_path(path) as temporary:
        _write(temporary, folder, shape, vocabulary, name=name, matrices=matrices)
        _read_back(temporary, folder, shape, vocabulary, matrices=matrices)
    return path


def _write(path: Path, folder: Path, shape: Shape, vocabulary: Vocabulary, *, name: str, matrices: str) -> None:
    from gguf import MODEL_ARCH_NAMES, GGMLQuantizationType, GGUFWriter, LlamaFileType

    writer = GGUFWriter(path, MODEL_ARCH_NAMES[shape.architecture])
    writer.add_name(name)
    writer.add_file_type(LlamaFileType.MOSTLY_F16 if matrices == "f16" else LlamaFileType.MOSTLY_Q8_0)
    if matrices == "q8_0":
        writer.add_quantization_version(2)
    write_shape(writer, shape)
    write_vocabulary(writer, vocabulary)
    # Names and sizes stand before the first value, so the weights are gone through twice.
    for weight in weights_of(folder, shape, matrices=matrices):
        packed = weight.packed()
        raw = GGMLQuantizationType.Q8_0 if weight.format == "q8_0" else None
        writer.add_tensor_info(weight.name, packed.shape, packed.dtype, packed.nbytes, raw)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for weight in weights_of(folder, shape, matrices=matrices):
            writer.write_tensor_data(weight.packed())
    finally:
        writer.close()


def _read_back(path: Path, folder: Path, shape: Shape, vocabulary: Vocabulary, *, matrices: str) -> None:
    """Raise LossmithError where a file does not say what was written."""
    from gguf import GGUFReader

    reader = GGUFReader(path)
    found = {tensor.name: tensor for tensor in reader.tensors}
    for weight in weights_of(folder, shape, matrices=matrices):
        tensor = found.pop(weight.name, None)
        if tensor is None:
            raise _other(f"{weight.name} is missing")
        _compare(weight, tensor)
    if found:
        raise _other(f"{', '.join(sorted(found)[:4])} should not be there")
    for key, wanted in (
        ("tokens", vocabulary.tokens),
        ("token_type", vocabulary.kinds),
        ("merges", vocabulary.merges),
        ("pre", vocabulary.cut),
    ):
        field = reader.get_field(f"tokenizer.ggml.{key}")
        if field is None or field.contents() != wanted:
            raise _other(f"the tokenizer's {key} came back otherwise")


def _compare(weight: Weight, tensor: Any) -> None:
    from gguf import quants

    # The format counts dimensions from the innermost one.
    if tuple(int(size) for size in reversed(tensor.shape)) != weight.values.shape:
        raise _other(f"{weight.name} has the shape {tuple(tensor.shape)}")
    values = quants.dequantize(tensor.data, tensor.tensor_type).reshape(weight.values.shape)
    wrong = ~(np.abs(values - weight.values) <= weight.error_allowed())
    if wrong.any():
        raise _other(f"{int(wrong.sum())} values of {weight.name} are further off than {weight.format} rounds")


def _other(what: str) -> LossmithError:
    return LossmithError(
        f"the GGUF file does not say what was written: {what}",
        got=what,
        expected="every tensor, value and token as it was",
    )
