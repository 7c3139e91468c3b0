"""A model that lies in a folder: of what kind it is, told by its files alone, and how it is loaded to be asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from lossmith.config.model import ModelConfig
from lossmith.errors import InputError
from lossmith.models.base_tokenizer import load_tokenizer
from lossmith.models.class_head import ClassHead
from lossmith.models.classifier import load_classifier
from lossmith.models.load import Loaded, load_model
from lossmith.models.pooled import HEAD_FILE, saved_head
from lossmith.models.precision import Precision
from lossmith.models.pretrained import CAUSAL, SEQ2SEQ
from lossmith.models.retrieval_files import holds_retrieval
from lossmith.models.source import ADAPTER_FILE, MODEL_FILE, find_source, not_found
from lossmith.runs import FACTS_FILE, read_json

StoredKind = Literal["causal", "seq2seq", "classifier", "pooled", "retrieval"]
_BY_TASK_TYPE: Mapping[str, StoredKind] = {
    "CAUSAL_LM": "causal",
    "SEQ_2_SEQ_LM": "seq2seq",
    "SEQ_CLS": "classifier",
    "FEATURE_EXTRACTION": "pooled",
}
# Files of a repository that tell what it holds.
_TELLING = (MODEL_FILE, ADAPTER_FILE, FACTS_FILE, HEAD_FILE)


@dataclass(frozen=True)
class Stored:
    """What lies in a folder: a whole model or the adapter of one, and the head of a classifier.

    `dtype` is the number format that its weights are stored in, None where the folder does not say. With `hub_name` the
    weights are loaded by that name, and the folder holds what tells of them.
    """

    folder: Path
    kind: StoredKind
    is_adapter: bool
    head: ClassHead | None = None
    dtype: str | None = None
    hub_name: str | None = None

    @property
    def base(self) -> str:
        """What its weights are loaded by."""
        return self.hub_name or str(self.folder)

    @property
    def writes(self) -> bool:
        """Whether it writes text."""
        return self.kind in ("causal", "seq2seq")


def stored_at(name: str) -> Stored:
    """What lies in a folder, or on the hub under that name; of the latter the files that tell of it are fetched.

    Raises InputError where there is neither.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return stored_model(folder)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise not_found(name)
    telling = _telling_files(name)
    return replace(stored_model(_whole(telling[0].parent, name)), hub_name=name)


def _telling_files(name: str) -> list[Path]:
    """The files of a repository that tell what it holds; where the hub is out of reach, those in the local cache."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

    found, out_of_reach = list[Path](), None
    for file in _TELLING:
        try:
            # A hub out of reach is asked again and again: once it was, the cache alone is asked.
            path = hf_hub_download(name, file, local_files_only=out_of_reach is not None)  # nosec B615
        except LocalEntryNotFoundError as error:
            out_of_reach = out_of_reach or error
        except EntryNotFoundError:
            continue
        except (OSError, HFValidationError) as error:
            # No such repository, one that is gated, what cannot be the name of one.
            raise not_found(name, error) from error
        else:
            found.append(Path(path))
    if not found:
        raise not_found(name)
    return found


def _whole(folder: Path, name: str) -> Path:
    """The folder of a repository; a retrieval classifier, which transformers does not load, is fetched as a whole."""
    if not holds_retrieval(folder):
        return folder
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name))  # the model that was asked for, as it is now  # nosec B615
    except OSError as error:
        raise not_found(name, error) from error


def stored_model(folder: Path) -> Stored:
    """What the files of a model's folder say it is.

    Raises InputError where it holds no model, or an adapter that does not say what it was made for.
    """
    if holds_retrieval(folder):
        return Stored(folder, "retrieval", is_adapter=False, dtype="float32")
    # Tells what is missing where there is no model.
    find_source(str(folder))
    is_adapter = (folder / ADAPTER_FILE).is_file()
    config = read_json(folder / MODEL_FILE) if (folder / MODEL_FILE).is_file() else {}
    dtype = None if is_adapter else str(config.get("dtype") or config.get("torch_dtype") or "float32")
    pooled = saved_head(folder)
    if pooled is not None:
        return Stored(folder, "pooled", is_adapter, head=pooled[1], dtype=dtype)
    kind = _kind_of_adapter(folder) if is_adapter else _kind_of_model(config)
    return Stored(folder, kind, is_adapter, head=_head(config) if kind == "classifier" else None, dtype=dtype)


def load_stored(stored: Stored, *, precision: Precision, config: ModelConfig | None = None) -> tuple[Loaded, Any]:
    """The model of a folder, to be asked, and its tokenizer; an adapter is on its base.

    `config` is that of the run which the model is from: it says how the base is loaded (4 bits, attention, code of its
    own). Raises InputError for what cannot be loaded, and for a retrieval classifier, which is loaded by its task.
    """
    own = (config or ModelConfig()).model_copy(
        update={"base": stored.base, "revision": None, "add_tokens": [], "chat_template": None}
    )
    if stored.kind == "retrieval":
        raise InputError(f"{stored.folder} holds a retrieval classifier, which is no model of transformers", got="iris")
    tokenizer = load_tokenizer(own)
    if stored.writes:
        kind = SEQ2SEQ if stored.kind == "seq2seq" else CAUSAL
        return load_model(own, tokenizer, precision=precision, training=False, kind=kind), tokenizer
    if stored.head is None:
        raise InputError(
            f"{stored.folder} has no class head", got=f"no labels in {MODEL_FILE}", expected="id2label, as it was saved"
        )
    return load_classifier(own, tokenizer, stored.head, precision=precision, training=False), tokenizer


def _kind_of_adapter(folder: Path) -> StoredKind:
    task_type = str(read_json(folder / ADAPTER_FILE).get("task_type"))
    if task_type not in _BY_TASK_TYPE:
        raise InputError(
            f"the adapter in {folder} does not say what it was made for",
            got=f"task_type {task_type}",
            expected=", ".join(_BY_TASK_TYPE),
        )
    return _BY_TASK_TYPE[task_type]


def _kind_of_model(config: Mapping[str, Any]) -> StoredKind:
    if any(str(name).endswith("ForSequenceClassification") for name in config.get("architectures") or ()):
        return "classifier"
    return "seq2seq" if config.get("is_encoder_decoder") else "causal"


def _head(config: Mapping[str, Any]) -> ClassHead | None:
    """The outputs that a transformers configuration names; one that is asked for several labels has a sigmoid."""
    labels = config.get("id2label")
    if not labels:
        return None
    names = tuple(str(labels[place]) for place in sorted(labels, key=int))
    sigmoid = config.get("problem_type") == "multi_label_classification"
    return ClassHead(names, "sigmoid" if sigmoid else "softmax")
