"""Where the files beside the package are: in a checkout at its top level, installed inside the package."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def resource_directory(name: str) -> Path:
    """Return the folder ``site-configs``, ``submit`` or ``dags``."""
    checkout = _PACKAGE.parent / name
    return checkout if checkout.is_dir() and (_PACKAGE.parent / "pyproject.toml").exists() else _PACKAGE / "data" / name


def example_event(name: str) -> Path:
    """Return the ``coinc.xml`` of a simulated event that gwbatch brings (``bns_hlv``, ``nsbh_hl``, ``bbh_hlv``;
    ``short`` has its SNR series cut, so that BAYESTAR is done in seconds).
    """
    return _PACKAGE / "data" / "events" / name / "coinc.xml"


def example_injections() -> Path:
    """Return ten simulated binary black holes in one file, with the places where they truly were."""
    return _PACKAGE / "data" / "events" / "injections" / "coincs.xml.gz"
