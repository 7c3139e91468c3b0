from __future__ import annotations

import pytest

from lossmith.errors import ConfigError
from lossmith.evaluate.gates import Gate, judge, read_gates

MEASURED = ["rouge1", "fpr", "my.own:metric"]


def read(rule: str) -> Gate:
    return read_gates([rule], MEASURED)[0]


@pytest.mark.parametrize(
    ("rule", "metric", "group", "end", "sign", "number", "run"),
    [
        ("rouge1 >= 0.6", "rouge1", None, "value", ">=", 0.6, None),
        ("rouge1>=.6", "rouge1", None, "value", ">=", 0.6, None),
        ("rouge1.low >= 3e-1", "rouge1", None, "low", ">=", 0.3, None),
        ("fpr.lgbtq <= 0.40", "fpr", "lgbtq", "value", "<=", 0.4, None),
        ("fpr.lgbtq.high < 1", "fpr", "lgbtq", "high", "<", 1.0, None),
        ("fpr.women & young.high < 1", "fpr", "women & young", "high", "<", 1.0, None),
        ("fpr.St. Louis > -1", "fpr", "St. Louis", "value", ">", -1.0, None),
        ("my.own:metric.low >= 0", "my.own:metric", None, "low", ">=", 0.0, None),
        ("rouge1 >= runs/other one", "rouge1", None, "value", ">=", None, "runs/other one"),
    ],
)
def test_rules(rule, metric, group, end, sign, number, run):
    assert read(rule) == Gate(rule, metric, group, end, sign, number, run)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("", "no rule"),
        ("rouge1", "no rule"),
        ("rouge1 >=", "no rule"),
        (">= 0.5", "no rule"),
        ("rouge1 = 0.5", "no rule"),
        ("rouge1 == 0.5", "no rule"),
        ("rouge1 => 0.5", "no rule"),
        ("rouge1 >= nan", "neither a number"),
        ("rouge1 >= inf", "neither a number"),
        ("rouge1 >= half", "neither a number"),
        ("0.1 <= rouge1 <= 0.5", "no rule"),
        ("rouge >= 0.5", "did you mean 'rouge1'"),
        ("bleu >= 30", "add bleu to evaluate.metrics"),
    ],
)
def test_rules_that_can_not_be_read_name_themselves(rule, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read(rule)
    assert f"'{rule}'" in caught.value.message


def figures(value, low=0.2, high=0.8, n=50):
    return {
        "metrics": {"rouge1": {"value": value, "low": low, "high": high, "n": n, "reason": "no records"}},
        "groups": {
            "a": {
                "rouge1": {
                    "value": value,
                    "low": low,
                    "high": high,
                    "n": 9,
                    "reason": "too small: 9 of at least 10 records",
                }
            }
        },
    }


@pytest.mark.parametrize(
    ("rule", "passed"),
    [
        ("rouge1 >= 0.5", True),
        ("rouge1 > 0.5", False),
        ("rouge1 <= 0.5", True),
        ("rouge1 < 0.5", False),
        ("rouge1.low >= 0.21", False),
        ("rouge1.high <= 0.8", True),
        ("rouge1.a >= 0.1", False),
    ],
)
def test_what_passes(rule, passed):
    judged = judge(read(rule), figures(0.5))
    assert judged["passed"] is passed
    assert (judged["reason"] is None) is passed


def test_undefined_on_either_side_is_missed():
    assert "undefined" in judge(read("rouge1 >= 0"), figures(None))["reason"]
    against = judge(read("rouge1 >= runs/other"), figures(0.5), figures(None))
    assert against["passed"] is False and "in runs/other" in against["reason"]
    assert judge(read("rouge1 >= runs/other"), figures(0.5), figures(0.4))["passed"] is True
    assert judge(read("rouge1 >= runs/other"), figures(0.5), "it is not there")["reason"] == "it is not there"
