"""The FITS headers of a sky map as a web page."""

from __future__ import annotations

from html import escape

from gwbatch.jobs.by_hand import SKYMAP, ByHand
from gwbatch.jobs.catalogue import Work, job
from gwbatch.jobs.fits_file import open_fits, read_units

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font-family:sans-serif;margin:2em}}table{{border-collapse:collapse;margin-bottom:2em}}
td,th{{border:1px solid #999;padding:.2em .6em;text-align:left}}td:first-child{{font-family:monospace}}</style></head>
<body><h1>{title}</h1>
{tables}
</body></html>
"""


@job(queue="general", preload=["numpy"], by_hand=ByHand("Write the FITS headers as a web page.", (SKYMAP,)))
def fits_header(work: Work) -> dict[str, bool]:
    """Write one table of keyword, value and comment for each header of the file; return what the map holds."""
    (source,) = work.inputs.values()
    tables = []
    with open_fits(source) as stream:
        units = read_units(stream)
    for number, unit in enumerate(units):
        rows = "\n".join(
            "<tr>"
            + "".join(f"<td>{escape(str(cell))}</td>" for cell in (card.keyword, card.value, card.comment))
            + "</tr>"
            for card in unit.cards
        )
        name = str(unit.header.get("EXTNAME") or ("PRIMARY" if number == 0 else ""))
        tables.append(
            f"<h2>HDU {number} {escape(name)}</h2>\n"
            f"<table><tr><th>Keyword</th><th>Value</th><th>Comment</th></tr>\n{rows}\n</table>"
        )
    work.output.write_text(_PAGE.format(title=f"FITS headers of {escape(source.name)}", tables="\n".join(tables)))
    columns = {str(card.value).upper() for unit in units for card in unit.cards if card.keyword.startswith("TTYPE")}
    return {"has_distances": "DISTNORM" in columns, "has_coherence": any("LOGBCI" in unit.header for unit in units)}
