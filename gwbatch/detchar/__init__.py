"""Data quality: what state vectors and iDQ say about the seconds around a superevent.

`bits` evaluates channels, `verdict` makes labels of them (both pure), `frames` reads frame files.
"""

from __future__ import annotations

from gwbatch.detchar.verdict import Report, judge

__all__ = ["Report", "judge"]
