from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossmith.errors import DataError
from lossmith.spans.markers import Mark, Markers

# Combining marks, joiners, emoji, CJK, right-to-left, blanks of many kinds, and private-use characters of every block.
WILD = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("\u0301\u200d👩🍳漢ש \t\n\u00a0\u3000é½"),
        st.sampled_from("\ue000\ue001\uf8ff\U000f0000\U000f0001\U000f1000\U00100000\U0010fffd"),
    ),
    max_size=12,
)
TREES = st.recursive(WILD, lambda inner: st.tuples(st.sampled_from("abc"), st.lists(inner, max_size=4)), max_leaves=12)


def _plain(tree: object) -> str:
    return tree if isinstance(tree, str) else "".join(_plain(child) for child in tree[1])


def _marked(tree: object, markers: Markers) -> str:
    if isinstance(tree, str):
        return tree
    return markers.wrap(tree[0], "".join(_marked(child, markers) for child in tree[1]))


def _expected(tree: object, start: int = 0) -> list[tuple[str, int, int]]:
    """Trimmed intervals, counted from the tree itself."""
    if isinstance(tree, str):
        return []
    text = _plain(tree)
    found, at = [], start
    if text.strip():
        left = start + len(text) - len(text.lstrip())
        found.append((tree[0], left, left + len(text.strip())))
    for child in tree[1]:
        found += _expected(child, at)
        at += len(_plain(child))
    return found


@given(st.lists(TREES, max_size=4))
def test_marks_are_read_back_where_they_were_put(trees: list[object]) -> None:
    forest = ("a", [*trees, "end"])
    truth = _plain(forest)
    markers = Markers([truth])
    marked = _marked(forest, markers)
    found = markers.read(marked, truth, where="the test")
    assert sorted((m.name, m.start, m.end) for m in found) == sorted(_expected(forest))
    assert markers.strip(marked) == truth


@given(WILD.filter(str.strip), WILD, WILD)
def test_a_template_that_trims_or_folds_blanks_does_not_move_a_mark(body: str, before: str, after: str) -> None:
    truth_parts = [before, "x ", body, " y", after]
    markers = Markers(["".join(truth_parts)])
    marked = "".join([before, "x ", markers.wrap("a", body), " y", after])
    folded = " ".join("".join(truth_parts).split())
    (mark,) = markers.read(" ".join(marked.split()), folded, where="the test")
    assert "".join(folded[mark.start : mark.end].split()) == "".join(body.split())
    assert mark.start == len(" ".join([*(before + "x").split(), ""]))


@given(
    st.lists(st.text("xyz", min_size=1, max_size=3), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=3),
)
def test_marks_hold_where_a_template_wraps_lines_elsewhere(words: list[str], cuts: list[tuple[int, int]]) -> None:
    ranges = [(min(a, len(words) - 1), min(max(a, b), len(words) - 1)) for a, b in cuts]
    truth, wrapped = " ".join(words), "\n  ".join(words)
    edges = [(len(" ".join([*words[:a], ""])), len(" ".join(words[: b + 1]))) for a, b in ranges]
    far = [(len("\n  ".join([*words[:a], ""])), len("\n  ".join(words[: b + 1]))) for a, b in ranges]
    markers = Markers([truth])
    marked = markers.wrap_intervals(wrapped, [("a", a, b) for a, b in far])
    assert sorted((m.start, m.end) for m in markers.read(marked, truth, where="the test")) == sorted(edges)


def test_text_that_uses_a_block_moves_the_marks_to_another() -> None:
    first = Markers(["plain"]).wrap("a", "x")[0]
    assert Markers([f"holds {first}"]).wrap("a", "x")[0] != first


def test_text_that_uses_every_block_is_refused() -> None:
    text = "".join(chr(code) for code in [*range(0xE000, 0xF900, 256), *range(0xF0000, 0x110000, 1024)])
    with pytest.raises(DataError, match="every block of private-use"):
        Markers([text])


def test_more_spans_than_marks_is_an_error_and_no_wrong_span() -> None:
    markers = Markers([""])
    with pytest.raises(DataError, match="more than 2048 marked spans"):
        for _ in range(2049):
            markers.wrap("a", "x")


def test_text_written_twice_is_marked_twice() -> None:
    markers = Markers(["salt"])
    marked = markers.wrap("a", "salt")
    assert markers.read(f"{marked} {marked}", "salt salt", where="the test") == [
        Mark("a", 0, 4, 0),
        Mark("a", 5, 9, 0),
    ]


def test_overlapping_intervals_of_one_field_are_all_read() -> None:
    text = " flour, salt "
    markers = Markers([text])
    marked = markers.wrap_intervals(text, [("a", 0, 8), ("b", 6, 13), ("c", 0, 1)])
    found = markers.read(marked, text, where="the test")
    assert [(m.name, text[m.start : m.end]) for m in found] == [("a", "flour,"), ("b", ", salt")]


def test_a_changed_text_names_the_template_and_the_span() -> None:
    markers = Markers(["salt and pepper"])
    marked = "salt and " + markers.wrap("spice", "pepper")
    with pytest.raises(DataError, match=r"template 'prompt' writes another text when span 'spice' is marked") as error:
        markers.read(marked + "!", "salt and pepper", where="template 'prompt'")
    assert "pepper" in str(error.value)


def test_half_a_span_is_an_error() -> None:
    markers = Markers(["salt"])
    marked = markers.wrap("spice", "salt")
    with pytest.raises(DataError, match="span 'spice' is cut apart by the chat template"):
        markers.read(marked[:-1], "salt", where="the chat template")
