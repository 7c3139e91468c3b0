from __future__ import annotations

import pytest

from lossmith.errors import ConfigError, DataError
from lossmith.spans.characters import CharSpan, check_name, intervals_of, number_items


def test_indices_become_runs_whatever_their_order() -> None:
    assert intervals_of([31, 15, 16, 30, 17, 15]) == [(15, 18), (30, 32)]


def test_pairs_stay_pairs_and_two_indices_are_no_pair() -> None:
    assert intervals_of([[12, 15], [3, 9]]) == [(3, 9), (12, 15)]
    assert intervals_of([3, 9]) == [(3, 4), (9, 10)]
    assert intervals_of([]) == []


@pytest.mark.parametrize("offsets", [[[9, 3]], [[1, 2, 3]], ["3"], "3", [-1], [True], [[0.0, 1.0]], None])
def test_anything_else_is_refused(offsets: object) -> None:
    with pytest.raises(DataError, match="no character offsets"):
        intervals_of(offsets)


@pytest.mark.parametrize("name", ["answer", "prompt"])
def test_reserved_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is taken"):
        check_name(name, where="template")


@pytest.mark.parametrize("name", ["-rationale", "two words", "", "9", "a-b"])
def test_names_that_no_term_could_write_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="no term could name"):
        check_name(name, where="template")


def test_nested_occurrences_of_one_name_come_outer_first() -> None:
    assert number_items([("a", 0, 4), ("a", 0, 9), ("a", 5, 7)]) == (
        CharSpan("a", 0, 9, 0),
        CharSpan("a", 0, 4, 1),
        CharSpan("a", 5, 7, 2),
    )
