"""The name of an ingredient as it is compared: lower case, singular, without sizes and preparation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

# Words that say how much, how big or in what state, not what.
_STOP_WORDS = """
a an the of in on with without and or some any few several little bit more less extra plus about approximately
approx around roughly each per your my
small medium large big huge jumbo sized size
chopped minced diced sliced grated shredded crushed melted softened peeled beaten cubed halved quartered
julienned torn drained rinsed sifted packed heaped heaping level scant rounded generous divided thawed cooked pressed
crumbled mashed squeezed trimmed pitted seeded deseeded washed cut pieces piece
raw fresh freshly finely fine coarsely coarse thinly lightly firmly loosely well ripe whole warm lukewarm
cold chilled optional favorite favourite preferably boneless skinless bone skin virgin
"""
_STOP = frozenset(_STOP_WORDS.split())
# Ends a name: what follows is preparation, purpose or remark.
_END = re.compile(
    r"\s*(?:[,;:|]|\.(?:\s|$)|\s-\s|\s/\s|\b(?:for|to taste|to serve|to garnish|as needed|as required|plus|if"
    r"|per|from|such as|preferably|depending|until|cut into|at room temperature)\b)",
    re.IGNORECASE,
)
_BRACKETS = re.compile(r"\([^()]*\)?|[\[\]{}]|\)")
_TOKEN = re.compile(r"[a-z0-9]+")
_POSSESSIVE = re.compile(r"['\u2019]s\b|['\u2019]")
# Counted things that stand behind a name too: "garlic cloves" is garlic, "cinnamon stick" is cinnamon.
_COUNTED = frozenset({"stalk", "stick", "sprig", "head", "cube", "slice", "bunch", "pod"})
_IRREGULAR: Mapping[str, str] = {
    "leaves": "leaf",
    "loaves": "loaf",
    "halves": "half",
    "knives": "knife",
    "chilies": "chili",
    "chillies": "chili",
    "chiles": "chili",
    "chile": "chili",
    "chilli": "chili",
    "chilly": "chili",
    "cookies": "cookie",
    "brownies": "brownie",
    "pies": "pie",
    "molasses": "molasses",
    "yoghurt": "yogurt",
}
_UNCHANGED = ("ss", "us")


@lru_cache(maxsize=1 << 15)
def compared_name(text: str) -> str:
    """The name that two lines are compared by; empty where no letter is left.

    >>> compared_name("large Onions, finely chopped"), compared_name("boneless, skinless chicken breasts (2)")
    ('onion', 'chicken breast')
    >>> compared_name("Jalapeños"), compared_name("garlic cloves"), compared_name("whole cloves")
    ('jalapeno', 'garlic', 'clove')
    """
    folded = _POSSESSIVE.sub("", _folded(_BRACKETS.sub(" ", text)))
    # A part that is all adjectives ("boneless, skinless chicken") does not end the name.
    for end in (*(found.start() for found in _END.finditer(folded)), len(folded)):
        if kept := _words(folded[:end]):
            return " ".join(kept)
    return " ".join(_TOKEN.findall(folded))


def singular(word: str) -> str:
    """The singular of an English kitchen noun; the same word where it is no plural.

    >>> [singular(word) for word in ("tomatoes", "berries", "radishes", "olives", "asparagus", "leaves")]
    ['tomato', 'berry', 'radish', 'olive', 'asparagus', 'leaf']
    """
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < 4 or word.endswith(_UNCHANGED) or not word.endswith("s"):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("oes", "ches", "shes", "xes", "sses")):
        return word[:-2]
    return word[:-1]


def _words(text: str) -> list[str]:
    words = [singular(word) for word in _TOKEN.findall(text) if word not in _STOP and not word.isdigit()]
    counted = _COUNTED | {"clove"} if "garlic" in words else _COUNTED
    return [word for word in words if word not in counted] or words


def _folded(text: str) -> str:
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(part for part in parts if not unicodedata.combining(part))
