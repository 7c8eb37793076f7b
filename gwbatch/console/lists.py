"""The console's lists as JSON, page by page, and as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from gwbatch.ledger import Ledger
from gwbatch.reports import detail
from gwbatch.reports.listings import LISTINGS, Page, Wanted

MOST = 1000  # most rows of a page
LONGEST = 200  # characters of a search term or filter
MOST_EXPORTED = 100_000  # most rows of a file
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def wanted_of(asked: Mapping[str, str]) -> Wanted:
    """Return the rows that a URL's parameters ask for; an invalid limit is ignored."""
    names = [one.name for one in fields(Wanted) if one.name != "limit"]
    limit = asked.get("limit", "")
    is_number = limit.isascii() and limit.isdigit() and len(limit) < 10
    said: dict[str, Any] = {name: asked[name].strip()[:LONGEST] for name in names if name in asked}
    if is_number:
        said["limit"] = max(1, min(int(limit), MOST))
    return Wanted(**said)


def page(name: str, ledger: Ledger, wanted: Wanted) -> dict[str, Any]:
    """Return one page of a list; each dead letter has the command that retries it."""
    found = asdict(LISTINGS[name](ledger, wanted))
    if name == "deadletters":
        for row in found["rows"]:
            row["command"] = detail.command(ledger, "deadletter", "retry", row["id"])
    return found


def as_csv(name: str, ledger: Ledger, wanted: Wanted) -> str:
    """Return the rows of a list, at most the newest 100,000, as CSV for spreadsheets."""
    text = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    look: Callable[[Ledger, Wanted], Page] = LISTINGS[name]
    asked, rows = replace(wanted, limit=MOST), 0
    while rows < MOST_EXPORTED:
        found = look(ledger, asked)
        if writer is None and found.rows:
            writer = csv.DictWriter(text, found.rows[0].keys(), lineterminator="\n")
            writer.writeheader()
        for row in found.rows:
            assert writer is not None
            writer.writerow({column: _cell(value) for column, value in row.items()})
        rows += len(found.rows)
        if found.next is None:
            break
        asked = replace(asked, before=found.next)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Return a value in a form that no spreadsheet takes for a formula."""
    if isinstance(value, list | dict):
        return json.dumps(value)
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
