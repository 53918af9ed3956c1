"""Numbers as people write them in tables: with a decimal comma, grouped thousands, a percent sign, a currency."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lensmith.base.errors import UserError

Decimal = Literal[".", ","]
_CURRENCY = r"[$€£¥₹]|USD|EUR|GBP|CHF"
_UNIT = rf"{_CURRENCY}|%|‰|°[CF]?|[µnmck]?m|km/h|m/s|[mk]?g|lbs?|oz|m?l|ms|s|min|h|px"
_CELL = re.compile(rf"(?P<sign>[+-]?)\s*(?P<before>{_CURRENCY})?\s*(?P<inner>[+-]?)"
                   rf"(?P<digits>[0-9.,][0-9.,'\s]*)(?P<power>[eE][+-]?[0-9]+)?\s*(?P<after>{_UNIT})?")
_PLAIN = {decimal: re.compile(rf"[0-9]+{point}?[0-9]*|{point}[0-9]+") for decimal, point in ((".", r"\."), (",", ","))}
# Thousands: 1,234.5 and 1'234.5 with a decimal point, 1.234,5 and 1 234,5 with a comma; India groups two digits too.
_GROUPED = {".": re.compile(r"[0-9]{1,3}(?:(?:,[0-9]{2,3})*,[0-9]{3}|(?:['\s][0-9]{3})+)(?:\.[0-9]*)?"),
            ",": re.compile(r"[0-9]{1,3}(?:\.[0-9]{3})+(?:,[0-9]*)?|[0-9]{1,3}(?:['\s][0-9]{3})+(?:,[0-9]*)?")}


@dataclass(frozen=True)
class NumberStyle:
    """How the numbers of a column are written."""

    decimal: Decimal = "."
    unit: str = ""           # before or behind each, taken off: % or $
    guessed: bool = False    # the decimal sign follows from the separator of the cells alone

    def number(self, cell: str) -> str | None:
        """The number in a cell as Python writes it, as `1234.5`; None where it holds none, or one of another unit."""
        match = _CELL.fullmatch(cell.replace("\u2212", "-"))
        if match is None or (match["before"] or match["after"] or "") != self.unit or \
                (match["before"] and match["after"]) or (match["sign"] and match["inner"]):
            return None
        digits = match["digits"].strip()
        if not (_PLAIN[self.decimal].fullmatch(digits) or _GROUPED[self.decimal].fullmatch(digits)):
            return None
        digits = re.sub(r"['\s]", "", digits).replace("," if self.decimal == "." else ".", "").replace(",", ".")
        return f"{match['sign']}{match['inner']}{digits}{match['power'] or ''}"

    def in_words(self) -> str:
        """What is unusual in it: `written with a decimal comma, in %`; nothing where it is plain."""
        words = ["written with a decimal comma"] * (self.decimal == ",") + [f"in {self.unit}"] * bool(self.unit)
        return ", ".join(words)


def number_style(cells: Sequence[str], *, separator: str, decimal: str | None = None) -> NumberStyle:
    """The style in which most of a column's cells are numbers.

    `decimal` is the setting data.decimal; without it the sign in which more cells are numbers is taken. Where all are
    in both, as 1,234, it is the comma in a file whose cells a semicolon separates, as where the decimal sign is a
    comma, and else the point. Raises UserError for another sign.
    """
    if decimal not in (None, ".", ","):
        raise UserError(f"data.decimal={decimal!r} is not possible: accepted are '.' and ','")
    units = Counter(match["before"] or match["after"] or "" for cell in set(cells)
                    if (match := _CELL.fullmatch(cell.replace("\u2212", "-"))) is not None)
    unit = max(units, key=lambda unit: (units[unit], not unit), default="")
    point, comma = NumberStyle(".", unit), NumberStyle(",", unit)
    if decimal is not None:
        return point if decimal == "." else comma
    with_sign = [cell for cell in cells if "," in cell or "." in cell]
    by_point, by_comma = ([style.number(cell) for cell in with_sign] for style in (point, comma))
    fit_point, fit_comma = (sum(number is not None for number in numbers) for numbers in (by_point, by_comma))
    if fit_point != fit_comma or not any("," in cell for cell in with_sign) or by_point == by_comma:
        return point if fit_point >= fit_comma else comma
    return NumberStyle("," if separator == ";" else ".", unit, guessed=True)


def is_whole(number: str) -> bool:
    """Whether a number is written without a decimal sign and exponent."""
    return re.fullmatch(r"[+-]?[0-9]+", number) is not None
