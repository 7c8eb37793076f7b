"""Paths of the files shipped with gwbatch, at the top level of a checkout or inside an installed package."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def resource_directory(name: str) -> Path:
    """Return the folder ``site-configs``, ``submit`` or ``dags``."""
    checkout = _PACKAGE.parent / name
    return checkout if checkout.is_dir() and (_PACKAGE.parent / "pyproject.toml").exists() else _PACKAGE / "data" / name


def example_event(name: str) -> Path:
    """Return the ``coinc.xml`` of a packaged simulated event.

    The events are ``bns_hlv``, ``nsbh_hl``, ``bbh_hlv``, and ``short``, whose SNR series is truncated so that BAYESTAR
    finishes in seconds.
    """
    return _PACKAGE / "data" / "events" / name / "coinc.xml"


def example_injections() -> Path:
    """Return the path of a file with ten simulated binary black holes and their true locations."""
    return _PACKAGE / "data" / "events" / "injections" / "coincs.xml.gz"
