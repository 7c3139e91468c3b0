"""Generation settings as the user gave them, judged before anything is generated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lossmith.config.generate import CUSTOM, REFUSED
from lossmith.errors import ConfigError, unknown_name

# Keys of GenerationConfig that mean something here, with the value at which they do nothing (None: always something).
_USED: Mapping[str, Any] = {
    "max_new_tokens": None,
    "min_new_tokens": 0,
    "do_sample": False,
    "temperature": 1.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": None,
    "top_h": None,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "num_beams": 1,
    "early_stopping": False,
    "length_penalty": 1.0,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "sequence_bias": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "exponential_decay_length_penalty": None,
    "remove_invalid_values": False,
    "use_cache": True,
    "custom_generate": None,
    "penalty_alpha": None,
    "dola_layers": None,
    "num_beam_groups": 1,
    "diversity_penalty": 0.0,
}

# GenerationConfig's own; 0 samples from the whole vocabulary.
DEFAULT_TOP_K = 50

SAMPLING = ("temperature", "top_h", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")
BEAMS = ("early_stopping", "length_penalty")


@dataclass(frozen=True)
class Settings:
    """Judged settings: `given` holds the keys that do something, by GenerationConfig's names."""

    given: Mapping[str, Any]
    max_new_tokens: int
    do_sample: bool
    num_beams: int
    custom_generate: str | None = None

    @property
    def chance_of_library(self) -> bool:
        """Whether transformers, or code that the user gave, draws by torch's seed instead of numbers of ours.

        Then prompts go one by one: what is drawn for one would else depend on those beside it.
        """
        return self.custom_generate is not None or (self.do_sample and self.num_beams > 1)

    def of(self, *names: str) -> dict[str, Any]:
        """Those of `names` that were given and do something."""
        return {name: self.given[name] for name in names if name in self.given}


def check_settings(settings: Mapping[str, Any]) -> Settings:
    """Judge generation settings; None means not given, as do values at which a key does nothing.

    Raises InputError for a key that GenerationConfig does not have, ConfigError for one that has no use here or that
    contradicts another.

    >>> check_settings({"max_new_tokens": 8, "temperature": 1.0}).given
    {'max_new_tokens': 8}
    """
    for key in settings:
        _check_key(key)
    given = {key: value for key, value in settings.items() if value is not None and value != _USED[key]}
    if "max_new_tokens" not in given:
        raise ConfigError(
            "how long an answer may get is not given", got=dict(settings), expected="generate.max_new_tokens"
        )
    result = Settings(
        given=given,
        max_new_tokens=int(given["max_new_tokens"]),
        do_sample=bool(given.get("do_sample", False)),
        num_beams=int(given.get("num_beams", 1)),
        custom_generate=given.get("custom_generate"),
    )
    _check_ranges(result)
    # What goes together in decoding of the user's own is known to it alone.
    if result.custom_generate is None:
        _check_together(result)
    if result.do_sample and settings.get("top_k") is None:
        return replace(result, given={**given, "top_k": DEFAULT_TOP_K})
    return result


def _check_key(key: str) -> None:
    if key in _USED:
        return
    from transformers import GenerationConfig

    known = {name for name in GenerationConfig().to_dict() if not name.startswith("_")} - {"transformers_version"}
    if key not in known:
        raise unknown_name("generation setting", key, known & set(_USED) or _USED, where=f"generate.{key}")
    reason = REFUSED.get(key, "batched decoding of token ids has no use for it")
    raise ConfigError(
        f"generate.{key} is not taken: {reason}", got=key, expected=", ".join(sorted(_USED)), fix=f"leave out {key}"
    )


def _check_ranges(settings: Settings) -> None:
    least = settings.given.get("min_new_tokens", 0)
    if settings.max_new_tokens < 1 or settings.num_beams < 1:
        raise ConfigError("an answer needs at least one new token and one beam", got=dict(settings.given))
    if least > settings.max_new_tokens:
        raise ConfigError(
            "the shortest answer allowed is longer than the longest",
            got=f"min_new_tokens={least}, max_new_tokens={settings.max_new_tokens}",
            expected="min_new_tokens <= max_new_tokens",
        )
    for name in ("temperature", "repetition_penalty"):
        value = settings.given.get(name)
        if value is not None and not value > 0:
            raise ConfigError(
                f"generate.{name} must be above 0",
                got=value,
                fix="do_sample=false takes the likeliest token" if name == "temperature" else None,
            )


def _check_together(settings: Settings) -> None:
    if custom := settings.of(*CUSTOM):
        kinds = ", ".join(dict.fromkeys(CUSTOM[name] for name in custom))
        raise ConfigError(
            f"{kinds} is done where you give a custom_generate, and refused otherwise: transformers has it no more",
            got=", ".join(f"{name}={value}" for name, value in custom.items()),
            expected="generate.custom_generate=module:function, or a folder or hub repository that holds it",
            fix="take out " + ", ".join(custom),
        )
    knobs = settings.of(*SAMPLING)
    if knobs and not settings.do_sample:
        raise ConfigError(
            "settings of sampling are given, but nothing is sampled",
            got=", ".join(f"{name}={value}" for name, value in knobs.items()) + " with do_sample=false",
            expected="do_sample=true, or none of them",
            fix="generate.do_sample=true, or take out " + ", ".join(knobs),
        )
    beams = settings.of(*BEAMS)
    if beams and settings.num_beams == 1:
        raise ConfigError(
            "settings of beam search are given, but there is one beam",
            got=", ".join(f"{name}={value}" for name, value in beams.items()) + " with num_beams=1",
            expected="num_beams above 1, or none of them",
        )
