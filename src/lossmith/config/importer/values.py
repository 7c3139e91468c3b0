"""How a value of another tool's recipe is read: one function for each conversion of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from lossmith.errors import ConfigError


@dataclass(frozen=True)
class Several:
    """A value that says several things: path and value of each."""

    values: Mapping[str, Any]


@dataclass(frozen=True)
class LeftOut:
    """A value that says nothing here, and why."""

    why: str


_YES = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_FORMATS = {
    "fp32": "float32",
    "float": "float32",
    "bf16": "bfloat16",
    "fp16": "float16",
    "half": "float16",
    "float32": "float32",
    "bfloat16": "bfloat16",
    "float16": "float16",
    "auto": "auto",
}
_HARDWARE = "false says nothing here: auto chooses by the hardware"
_TASKS = {"causal_lm": "causal", "seq_cls": "classification", "seq_2_seq_lm": "seq2seq"}
_OPTIMIZERS = {"adamw": "adamw_torch", "adamw_hf": "adamw_torch", "adam": "adamw_torch"}
_METRICS = {"loss": "eval_loss", "val_loss": "eval_loss", "validation_loss": "eval_loss"}
_ADAPTERS = {"lora": "lora", "full": "none", "none": "none", "": "none"}


def _wrong(expected: str, value: Any) -> ConfigError:
    return ConfigError("a value could not be read", got=repr(value), expected=expected)


def _number(value: Any) -> int | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        return int(value) if str(value).strip().lstrip("+-").isdigit() else float(value)
    except (TypeError, ValueError):
        raise _wrong("a number", value) from None


def _whole(value: Any) -> int:
    number = _number(value)
    if number != int(number):
        raise _wrong("a whole number", value)
    return int(number)


def _boolean(value: Any) -> bool:
    found = value if isinstance(value, bool) else _YES.get(str(value).strip().lower())
    if found is None:
        raise _wrong("true or false", value)
    return found


def _text(value: Any) -> str:
    if isinstance(value, Mapping | list):
        raise _wrong("one text", value)
    return str(value)


def _names(value: Any) -> list[str]:
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list):
        raise _wrong("a list of names", value)
    return [str(name).strip() for name in given if str(name).strip()]


def _layers(value: Any) -> str | list[str]:
    names = _names(value)
    if len(names) == 1 and names[0] in ("all", "all-linear", "all_linear", "auto"):
        return "all-linear"
    # One text with the marks of a pattern is a pattern of peft, not a list of names.
    return value if isinstance(value, str) and set(value) & set("*()|^$\\") else names


def _when(value: Any, otherwise: str) -> Callable[[Any], Any]:
    """A conversion that gives `value` for true, and leaves false out because of `otherwise`."""
    return lambda given: value if _boolean(given) else LeftOut(otherwise)


def _format_if(name: str) -> Callable[[Any], Any]:
    return lambda given: "auto" if str(given).lower() == "auto" else _when(name, _HARDWARE)(given)


def _format(value: Any) -> Any:
    name = str(value).strip().lower().removeprefix("torch.")
    if name in ("no", "none", "false"):
        return LeftOut(_HARDWARE)
    if name not in _FORMATS:
        raise _wrong("float32, bfloat16, float16 or auto", value)
    return _FORMATS[name]


def _adapter(value: Any) -> Any:
    name = str(value).strip().lower()
    if name == "qlora":
        return Several({"model.adapter": "lora", "model.load_in_4bit": True})
    if name not in _ADAPTERS:
        raise _wrong("lora, qlora, full or none", value)
    return _ADAPTERS[name]


def _bits(value: Any) -> Any:
    bits = _whole(value)
    return True if bits == 4 else LeftOut("bases are loaded in 4 bit, or in 16 or 32") if bits != 16 else False


def _files(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 1:
        return _text(value[0])
    if isinstance(value, str) and "," in value:
        return _names(value)
    return [_text(file) for file in value] if isinstance(value, list) else _text(value)


def _share(value: Any) -> Any:
    number = _number(value)
    if number >= 1:
        return LeftOut("a number of records cannot be given, only a share of them below 1")
    return float(number)


def _share_of_steps(value: Any) -> float:
    number = float(_number(value))
    if not 0 <= number < 1:
        raise _wrong("a share of all steps, below 1", value)
    return number


def _folder(value: Any) -> Any:
    path = PurePath(_text(value).rstrip("/"))
    if path.name in ("", ".", ".."):
        raise _wrong("a folder with a name", value)
    parent = {} if path.parent == PurePath() else {"runs_dir": str(path.parent)}
    return Several({"name": path.name, **parent})


def _steps(value: Any) -> Any:
    number = _number(value)
    if 0 < number < 1:
        return LeftOut("a share of all steps cannot be given, only a number of steps")
    return _whole(value) if number else LeftOut("0 says nothing here")


def _strategy(value: Any) -> str:
    name = str(value).strip().lower().rsplit(".", 1)[-1]
    # Every best evaluation is saved here anyway; YAML reads a bare `no` as false.
    return {"best": "no", "false": "no", "none": "no"}.get(name, name)


def _label_smoothing(value: Any) -> Any:
    number = float(_number(value))
    return Several({"objective.cross_entropy": {"weight": 1.0, "label_smoothing": number}}) if number else LeftOut("0")


def _task(value: Any) -> str:
    name = str(value).strip().lower().rsplit(".", 1)[-1]
    return _TASKS.get(name, name)


def _classes_by_number(value: Any) -> list[str]:
    if not isinstance(value, Mapping):
        return _names(value)
    return [str(name) for _, name in sorted(value.items(), key=lambda pair: _whole(pair[0]))]


def _two_betas(value: Any) -> Several:
    given = value if isinstance(value, list) else str(value).strip("()[] ").split(",")
    if len(given) != 2:
        raise _wrong("two numbers", value)
    return Several({"train.adam_beta1": _number(given[0]), "train.adam_beta2": _number(given[1])})


def _pairs(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    pairs = [pair.split("=", 1) for pair in str(value).split(",") if pair.strip()]
    if any(len(pair) != 2 for pair in pairs):
        raise _wrong("key=value,key=value", value)
    return {key.strip(): given.strip() for key, given in pairs}


def _temperature(value: Any) -> Any:
    return number if (number := _number(value)) else Several({"generate.do_sample": False})


def _checkpoint(value: Any) -> Any:
    if value is True or str(value).lower() in ("true", "false", ""):
        return LeftOut("train --resume goes on from the last checkpoint")
    return _text(value) if value else LeftOut("train --resume goes on from the last checkpoint")


def _trackers(value: Any) -> Any:
    names = [] if value in ("none", False) else _names(value)
    return LeftOut("name them: tensorboard, wandb, comet_ml, mlflow") if names == ["all"] else names


CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {
    "as it is": lambda value: value,
    "text": _text,
    "number": _number,
    "whole number": _whole,
    "yes or no": _boolean,
    "yes unless false": lambda value: _YES.get(str(value).strip().lower(), True),
    "names": _names,
    "layers": _layers,
    "all linear layers": _when("all-linear", "false says nothing here"),
    "adapter": _adapter,
    "adapter if true": lambda value: "lora" if _boolean(value) else "none",
    "4-bit adapter if true": lambda value: (
        Several({"model.adapter": "lora", "model.load_in_4bit": True}) if _boolean(value) else False
    ),
    "bits": _bits,
    "number format": _format,
    "bfloat16 if true": _format_if("bfloat16"),
    "float16 if true": _format_if("float16"),
    "flash attention if true": lambda value: (
        "flash_attention_2" if str(value).lower() in ("true", "1", "fa2") else LeftOut("the base chooses")
    ),
    "files": _files,
    "share": _share,
    "share of steps": _share_of_steps,
    "percent": lambda value: _share(_number(value) / 100),
    "task": _task,
    "classes by number": _classes_by_number,
    "label smoothing": _label_smoothing,
    "two betas": _two_betas,
    "optimizer": lambda value: _OPTIMIZERS.get(_text(value), _text(value)),
    "pairs": _pairs,
    "steps": _steps,
    "strategy": _strategy,
    "metric": lambda value: _METRICS.get(_text(value), _text(value)),
    "patience if true": lambda value: 1 if _boolean(value) else 0,
    "device": lambda value: _text(value).split(":")[0],
    "cpu if true": _when("cpu", "false says nothing here: auto takes what there is"),
    "checkpoint": _checkpoint,
    "grouped by length if true": _when("group_by_length", "false is the default"),
    "temperature": _temperature,
    "folder": _folder,
    "trackers": _trackers,
    "wandb if true": lambda value: ["wandb"] if _boolean(value) else LeftOut("false says nothing here"),
}
