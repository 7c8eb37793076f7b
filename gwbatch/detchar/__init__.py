"""Data quality: what state vectors and iDQ say about the seconds around a superevent.

`bits` evaluates channels, and `verdict` derives labels from them; both are pure. `frames` reads frame files, and
`archive` finds older ones through a GWDataFind server.
"""

from __future__ import annotations

from gwbatch.detchar.verdict import Report, judge

__all__ = ["Report", "judge"]
