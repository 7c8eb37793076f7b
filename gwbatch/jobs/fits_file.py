"""Headers and binary tables of FITS files (version 4.0), as far as sky maps use them.

Importing a whole FITS library costs more CPU time than drawing a picture.  This module refuses what it does not
understand (scaled columns, variable-length arrays), so that the caller can turn to that library.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from gwbatch.errors import BadInput

BLOCK = 2880  # bytes
CARD = 80
LARGEST_HEADER = 1000  # blocks

_VALUE = re.compile(r"\s*(?:'(?P<text>(?:[^']|'')*)'|(?P<plain>[^/]*?))\s*(?:/\s?(?P<comment>.*))?$")
_FORMAT = re.compile(r"(\d*)([LBIJKED])$")
_TYPES = {"L": "i1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}

Value = bool | int | float | str | None


class Unsupported(BadInput):
    """The file is valid, but uses a feature that only a whole FITS library understands."""


@dataclass(frozen=True)
class Card:
    """One entry of a header, and the lines of 80 characters that it takes in the file."""

    keyword: str
    value: Value
    comment: str
    lines: str = ""


@dataclass(frozen=True)
class Unit:
    """A header and the place of its data.

    Attributes
    ----------
    cards : tuple of Card
        In the order of the file.
    offset, size : int
        Position and length of the data in the (unpacked) file, in bytes.
    """

    cards: tuple[Card, ...]
    offset: int
    size: int

    @property
    def header(self) -> dict[str, Value]:
        """Values by keyword."""
        return {card.keyword: card.value for card in self.cards if card.keyword not in ("COMMENT", "HISTORY", "")}


def open_fits(path: Path) -> IO[bytes]:
    """Open a file for reading, unpacking it if it is gzipped."""
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path)) if packed else path.open("rb")


def read_units(stream: IO[bytes]) -> list[Unit]:
    """Read all headers.

    Raises
    ------
    BadInput
        When it is not a FITS file, or is truncated.
    """
    return list(each_unit(stream))


def each_unit(stream: IO[bytes]) -> Iterator[Unit]:
    """Read one header after the other, only as far as the caller iterates; raise like `read_units`."""
    after, first = 0, True
    try:
        while True:
            stream.seek(after)
            cards = _read_header(stream, first=first)
            if not cards:
                return
            offset = stream.tell()
            unit = Unit(tuple(cards), offset, _data_size(cards))
            after, first = offset + -(-unit.size // BLOCK) * BLOCK, False
            yield unit
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise BadInput(f"Cannot read the FITS file: {error}.") from error


def read_table(stream: IO[bytes], unit: Unit) -> dict[str, Any]:
    """Read the columns of a binary table as native arrays, of shape (rows, elements) if a row has several elements.

    Raises
    ------
    BadInput
        When the stream holds no binary table, or a truncated one.
    Unsupported
        When only a whole FITS library can read it.
    """
    import numpy as np

    header = unit.header
    if str(header.get("XTENSION", "")).strip() != "BINTABLE":
        raise BadInput("Cannot read the FITS file: it has no binary table.")
    fields, names = [], []
    for number in range(1, _whole(header, "TFIELDS") + 1):
        form = _FORMAT.match(str(header.get(f"TFORM{number}", "")).strip())
        scaled = header.get(f"TSCAL{number}", 1) != 1 or header.get(f"TZERO{number}", 0) != 0
        if form is None or scaled:
            raise Unsupported(f"column {number} has the format {header.get(f'TFORM{number}')!r}")
        count = int(form[1] or 1)
        names.append(str(header.get(f"TTYPE{number}", f"col{number}")).strip())
        fields.append((f"f{number}", _TYPES[form[2]], (count,) if count != 1 else ()))
    layout = np.dtype(fields)
    rows = _whole(header, "NAXIS2")
    if layout.itemsize != _whole(header, "NAXIS1"):
        raise BadInput("Cannot read the FITS file: its columns and the length of its rows disagree.")
    stream.seek(unit.offset)
    content = stream.read(rows * layout.itemsize)
    if len(content) < rows * layout.itemsize:
        raise BadInput("Cannot read the FITS file: it ends in the middle of its table.")
    table = np.frombuffer(content, layout)
    native = {name: table[field[0]] for name, field in zip(names, fields, strict=True)}
    return {name: column.astype(column.dtype.newbyteorder("=")) for name, column in native.items()}


def card(keyword: str, value: bool | int | str, comment: str = "") -> str:
    """Return the header line that gives a keyword its value."""
    if isinstance(value, bool):
        written = f"{'T' if value else 'F':>20}"
    elif isinstance(value, int):
        written = f"{value:>20}"
    else:
        written = f"'{value:<8}'".ljust(20)
    return f"{keyword:<8}= {written}{f' / {comment}' if comment else ''}"[:CARD].ljust(CARD)


def header_block(cards: list[str]) -> bytes:
    """Return a header, padded to whole blocks."""
    content = "".join([*cards, "END".ljust(CARD)]).encode("ascii")
    return content.ljust(-(-len(content) // BLOCK) * BLOCK)


def _read_header(stream: IO[bytes], *, first: bool) -> list[Card]:
    cards: list[Card] = []
    for number in range(LARGEST_HEADER):
        block = stream.read(BLOCK)
        if not block and number == 0 and not first:
            return []
        if len(block) < BLOCK:
            raise ValueError("it ends in the middle of a header")
        for at in range(0, BLOCK, CARD):
            line = block[at : at + CARD].decode("ascii", errors="replace")
            if first and not cards and not line.startswith("SIMPLE  ="):
                raise ValueError("it does not begin with SIMPLE")
            if line[:8] == "END     ":
                return cards
            _add(cards, line)
    raise ValueError("its header does not end")


def _add(cards: list[Card], line: str) -> None:
    keyword = line[:8].strip()
    if keyword == "CONTINUE" and cards and isinstance(cards[-1].value, str) and cards[-1].value.endswith("&"):
        value, comment = _parse(line[8:])
        last = cards.pop()
        joined = f"{cast(str, last.value)[:-1]}{value}"
        cards.append(Card(last.keyword, joined, f"{last.comment} {comment}".strip(), last.lines + line))
    elif line[8:10] == "= ":
        cards.append(Card(keyword, *_parse(line[10:]), line))
    elif keyword:
        cards.append(Card(keyword, line[8:].rstrip(), "", line))


def _parse(text: str) -> tuple[Value, str]:
    """Return value and comment of a card's right side."""
    found = _VALUE.match(text.rstrip())
    if found is None:
        return text.strip(), ""
    comment = (found["comment"] or "").strip()
    if found["text"] is not None:
        return found["text"].replace("''", "'").rstrip(), comment
    return _plain(found["plain"].strip()), comment


def _plain(text: str) -> Value:
    if text in ("T", "F"):
        return text == "T"
    for kind in (int, float):
        try:
            return kind(text.replace("D", "E"))
        except ValueError:
            continue
    return text or None


def _data_size(cards: list[Card]) -> int:
    """Return the bytes of the data that follow a header (FITS 4.0, equation 2)."""
    header = {card.keyword: card.value for card in cards}
    axes = [_whole(header, f"NAXIS{number}") for number in range(1, _whole(header, "NAXIS") + 1)]
    size = 1 if axes else 0
    for axis in axes:
        size *= axis
    groups, heap = int(cast(int, header.get("GCOUNT", 1))), int(cast(int, header.get("PCOUNT", 0)))
    return abs(_whole(header, "BITPIX", least=-64)) // 8 * groups * (heap + size)


def _whole(header: dict[str, Value], name: str, least: int = 0) -> int:
    value = header.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**40:
        raise BadInput(f"Cannot read the FITS file: {name} is {value!r}.")
    return value
