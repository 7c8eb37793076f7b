"""Preparations for every computation with the science stack."""

from __future__ import annotations

import os
import sys
import warnings


def without_mpi() -> None:
    """Keep later imports from starting MPI, as BAYESTAR's imports would where mpi4py is installed.

    Without an MPI library, mpi4py makes the import fail.  In a child of an MPI rank, the library aborts, crashes or
    hangs.
    """
    sys.modules.setdefault("mpi4py", None)  # type: ignore[arg-type]


def one_blas_thread() -> None:
    """Keep NumPy, which is imported later, from starting threads for matrices, because ours are only 3 x 3."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def offline_astropy() -> None:
    """Disable astropy's downloads and warnings; execute nodes have no internet access."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    from astropy.utils import iers

    iers.conf.auto_download = False
    iers.conf.iers_degraded_accuracy = "ignore"
    warnings.filterwarnings("ignore", message=".*polar motions.*")
