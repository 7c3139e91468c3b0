"""Numbers as the report prints them."""

from __future__ import annotations

import math

MINUS = "\u2212"
NONE = "\u2013"


def number(value: float | int | None, *, decimals: int | None = None, sign: bool = False) -> str:
    """A number to about four figures, with a true minus sign; an en dash where there is none.

    >>> number(0.41239), number(-12.345), number(1234567), number(0.00012), number(None)
    ('0.412', '−12.35', '1,234,567', '1.2e−4', '–')
    >>> number(0.5, decimals=2, sign=True)
    '+0.50'
    """
    if value is None or not math.isfinite(value):
        return NONE
    size = abs(value)
    if decimals is not None:
        text = f"{size:,.{decimals}f}"
    elif size and size < 0.001:
        text = f"{size:.1e}".replace("e-0", "e-").replace("-", MINUS)
    elif float(value).is_integer() and size < 1e15:
        text = f"{int(size):,}"
    else:
        text = f"{size:,.{3 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0}f}"
    if not any(digit in text for digit in "123456789"):
        return ("±" if sign and size else "") + text
    return (MINUS if value < 0 else "+" if sign else "") + text


def short(value: float) -> str:
    """A number as a person would write it in a formula.

    >>> short(0.6), short(2.0), short(1e-5), short(2e-4)
    ('0.6', '2', '1e−5', '0.0002')
    """
    return f"{value:g}".replace("e-0", "e-").replace("-", MINUS)


def decimals_for(high: float) -> int:
    """Decimals of a metric by the top of its range: 0.412 of 1, 41.2 of 100.

    >>> decimals_for(1.0), decimals_for(100.0), decimals_for(float("inf"))
    (3, 1, 3)
    """
    return 1 if 100 <= high < float("inf") else 3


def interval(low: float | None, high: float | None, *, decimals: int | None = None, sign: bool = False) -> str:
    """An interval in words that a screen reader reads well.

    >>> interval(0.38, 0.44, decimals=2)
    '0.38 to 0.44'
    """
    if low is None or high is None:
        return ""
    return f"{number(low, decimals=decimals, sign=sign)} to {number(high, decimals=decimals, sign=sign)}"


def p_value(p: float | None) -> str:
    """A p value to three decimals, never 0.

    >>> p_value(0.0312), p_value(1e-5), p_value(None)
    ('0.031', '< 0.001', '–')
    """
    if p is None:
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def percent(share: float | None) -> str:
    """A share of 1 as per cent.

    >>> percent(0.1234), percent(1.0), percent(0.0004), percent(None)
    ('12.3 %', '100 %', '0.04 %', '–')
    """
    if share is None:
        return NONE
    value = 100 * share
    if not value or value == 100:
        return f"{value:.0f} %"
    return f"{value:.2f} %" if value < 0.1 else f"{min(value, 99.9):.1f} %"


def count(items: int, one: str, many: str | None = None) -> str:
    """A number with its noun.

    >>> count(1, "record"), count(1200, "record"), count(2, "entry", "entries")
    ('1 record', '1,200 records', '2 entries')
    """
    return f"{items:,} {one if items == 1 else many or one + 's'}"


def size(octets: float | None) -> str:
    """Bytes in binary units.

    >>> size(512), size(3 * 2**20), size(None)
    ('512 B', '3.0 MiB', '–')
    """
    if octets is None:
        return NONE
    if octets < 1024:
        return f"{octets:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        octets /= 1024
        if octets < 1024:
            return f"{octets:.1f} {unit}"
    return f"{octets / 1024:.1f} TiB"


def duration(seconds: float | None) -> str:
    """Wall time in the units a reader would use.

    >>> duration(0.42), duration(75), duration(3 * 3600 + 300), duration(None)
    ('0.4 s', '1 min 15 s', '3 h 5 min', '–')
    """
    if seconds is None:
        return NONE
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"
