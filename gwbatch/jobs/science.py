"""What every computation with the science stack does first."""

from __future__ import annotations

import os
import warnings


def offline_astropy() -> None:
    """Execute nodes have no internet: astropy shall not try, nor complain."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    from astropy.utils import iers

    iers.conf.auto_download = False
    iers.conf.iers_degraded_accuracy = "ignore"
    warnings.filterwarnings("ignore", message=".*polar motions.*")
