"""A retrieval classifier in a folder: what it is, its weights, and the encoder that its chunks went through."""

from __future__ import annotations

from pathlib import Path

from lossmith.errors import InputError
from lossmith.models.encoders.find import load_encoder
from lossmith.models.precision import Precision
from lossmith.models.retrieval import RetrievalClassifier, RetrievalShape
from lossmith.runs import read_json, write_json

MODEL_TYPE = "lossmith-retrieval"
CONFIG_FILE, WEIGHTS_FILE, ENCODER_FOLDER = "config.json", "retrieval.safetensors", "encoder"


def save_retrieval(model: RetrievalClassifier, folder: Path) -> None:
    """Write a model with its encoder into a folder that is there."""
    from safetensors.torch import save_file

    assert model.encoder is not None, "what is trained has the encoder that its vectors come from"
    write_json(folder / CONFIG_FILE, {"model_type": MODEL_TYPE, "schema": 1, **model.shape.as_json()})
    tensors = {name: held.detach().float().cpu().contiguous() for name, held in model.state_dict().items()}
    save_file(tensors, folder / WEIGHTS_FILE)
    model.encoder.save(folder / ENCODER_FOLDER)


def holds_retrieval(folder: Path) -> bool:
    """Whether `save_retrieval` wrote a model there."""
    file = folder / CONFIG_FILE
    return file.is_file() and read_json(file).get("model_type") == MODEL_TYPE


def load_retrieval(folder: Path, *, precision: Precision) -> RetrievalClassifier:
    """What `save_retrieval` wrote, on the CPU; the encoder loads no weights before something is encoded.

    Raises InputError where weights are missing or damaged, or the encoder is gone or has become another.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    values = {
        name: held for name, held in read_json(folder / CONFIG_FILE).items() if name not in ("model_type", "schema")
    }
    encoder = load_encoder(folder / ENCODER_FOLDER, precision=precision)
    model = RetrievalClassifier(RetrievalShape.from_json(values), encoder=encoder)
    try:
        model.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"{folder} does not hold the weights that its {CONFIG_FILE} tells of",
            got=str(error).splitlines()[0],
            expected=f"{WEIGHTS_FILE} as it was saved",
        ) from error
    return model
