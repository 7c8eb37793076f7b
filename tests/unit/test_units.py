"""Human-readable time spans and sizes."""

from __future__ import annotations

import pytest

from gwbatch.units import age, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3.0, "0.0 s"), (0.42, "0.4 s"), (9.96, "10.0 s"), (90.0, "90 s"), (119.6, "120 s"), (300.0, "5 min"),
        (7199.0, "120 min"), (7200.0, "2 h"), (47 * 3600.0, "47 h"), (48 * 3600.0, "2 days"), (4e7, "463 days"),
    ],
)  # fmt: skip
def test_a_time_span(seconds: float, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 * 2**30, "5.0 GiB"), (2**52, "4096.0 TiB")]
)
def test_a_number_of_bytes(number: float, text: str) -> None:
    assert size(number) == text
