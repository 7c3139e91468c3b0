"""Text of models, data and users on a page: nothing in it acts, and what is invisible is shown.

HTML is escaped by the templates. That leaves characters that reorder or hide what a reader sees (bidirectional
controls, zero-width marks, terminal controls): they are written out by code point.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from markupsafe import Markup, escape

# C0 and C1 controls but tab and newline; soft hyphen; Arabic letter mark; zero-width space, marks and separators;
# bidirectional controls; invisible operators; the byte order mark; annotations; surrogates; tags. The zero-width
# joiners stay where they join: emoji, Persian and Indic words need them.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def plain(text: Any) -> str:
    """Text with every unseen character written as its code point.

    >>> plain("safe" + chr(0x202E) + "txt")
    'safe⟨U+202E⟩txt'
    """
    return _UNSEEN.sub(lambda found: f"⟨{_code(found.group())}⟩", _lines(text))


def marked(text: Any) -> Markup:
    """As `plain`, the code points set off from the text around them; escaped for HTML.

    >>> str(marked("<b>" + chr(0x200F)))
    '&lt;b&gt;<span class="unseen" title="right-to-left mark">U+200F</span>'
    """
    parts: list[Markup] = []
    last = 0
    whole = _lines(text)
    for found in _UNSEEN.finditer(whole):
        parts.append(escape(whole[last : found.start()]))
        name = unicodedata.name(found.group(), "control character").lower()
        parts.append(Markup('<span class="unseen" title="{}">{}</span>').format(name, _code(found.group())))
        last = found.end()
    parts.append(escape(whole[last:]))
    return Markup("").join(parts)


def with_blanks(text: Any) -> Markup:
    """As `marked`, with white space to be seen.

    >>> str(with_blanks(" salt"))
    '<span class="space">·</span>salt'
    """
    shown = marked(text)
    for character, sign in ((" ", "·"), ("\t", "⇥"), ("\n", "↵")):
        # A blank inside the markup of an unseen character must stay: only text between tags is touched.
        shown = _in_text(shown, character, Markup('<span class="space">{}</span>').format(sign))
    return shown


def _in_text(shown: Markup, character: str, sign: Markup) -> Markup:
    pieces = re.split(r"(<[^>]*>)", str(shown))
    replaced = (piece if piece.startswith("<") else piece.replace(character, str(sign)) for piece in pieces)
    return Markup("".join(replaced))  # every piece is escaped already  # nosec B704


def finalize(value: Any) -> Any:
    """What every template expression passes through: strings become plain, markup stays as it is."""
    if value is None:
        return ""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def clipped(text: str, most: int) -> tuple[str, int]:
    """The first `most` characters and how many were left out.

    >>> clipped("abcdef", 4)
    ('abcd', 2)
    """
    return text[:most], max(0, len(text) - most)


def _lines(text: Any) -> str:
    return str(text).replace("\r\n", "\n")


def _code(character: str) -> str:
    return f"U+{ord(character):04X}"
