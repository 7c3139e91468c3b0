"""Colours of the pages as CSS variables, one value for light and one for dark.

Series colours follow Okabe and Ito (2008), which readers with any common colour vision tell apart, shifted in
lightness where the contrast with the page would fall under 3:1.
"""

from __future__ import annotations

from collections.abc import Mapping

# name: (light, dark)
COLOURS: Mapping[str, tuple[str, str]] = {
    "page": ("#fdfdfb", "#15171a"),
    "panel": ("#f4f4f0", "#1d2024"),
    "rule": ("#dbdbd5", "#363a40"),
    "ink": ("#1b1c1e", "#e7e6e2"),
    "muted": ("#585b61", "#a4a7ad"),
    "accent": ("#0063a0", "#6bb7ee"),
    "good": ("#006b4d", "#4fc79d"),
    "bad": ("#a83f00", "#ff9d5c"),
    "caution": ("#7d5300", "#e9b949"),
    "good-tint": ("#e2f2ec", "#17302a"),
    "bad-tint": ("#fbe9de", "#3a2418"),
    "caution-tint": ("#faf0d7", "#342a14"),
    "accent-tint": ("#e3eef6", "#1a2b39"),
    "series-1": ("#0072b2", "#56b4e9"),
    "series-2": ("#d55e00", "#f58231"),
    "series-3": ("#008a64", "#2cc295"),
    "series-4": ("#b0508a", "#d98cb8"),
    "series-5": ("#a87000", "#e6a817"),
    "series-6": ("#4c4f55", "#c3c5c9"),
    "baseline": ("#73767c", "#90949b"),
}
SERIES = 6


def theme_css() -> str:
    """The variables for light, for dark by the reader's system, for dark by the button, and light for print."""
    light = _variables(0)
    dark = _variables(1)
    return (
        f":root {{ color-scheme: light; {light} }}\n"
        f"@media (prefers-color-scheme: dark) {{\n"
        f'  :root:not([data-theme="light"]) {{ color-scheme: dark; {dark} }}\n}}\n'
        f':root[data-theme="dark"] {{ color-scheme: dark; {dark} }}\n'
        f"@media print {{\n"
        f"  :root, :root:not([data-theme=light]), :root[data-theme=dark] {{ color-scheme: light; {light} }}\n}}\n"
    )


def series(index: int) -> str:
    """The colour of the series with this number, as a CSS value.

    >>> series(0), series(6)
    ('var(--series-1)', 'var(--series-1)')
    """
    return f"var(--series-{index % SERIES + 1})"


def contrast(one: str, other: str) -> float:
    """WCAG contrast ratio of two colours, 1 to 21.

    >>> round(contrast("#000000", "#ffffff"), 1)
    21.0
    """
    bright, dim = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _variables(theme: int) -> str:
    return " ".join(f"--{name}: {values[theme]};" for name, values in COLOURS.items())


def _luminance(colour: str) -> float:
    channels = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
