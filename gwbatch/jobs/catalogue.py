"""The computations by name, and the decorator that declares them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

from gwbatch.errors import ConfigError
from gwbatch.jobs.by_hand import ByHand
from gwbatch.queues import QUEUES


@dataclass(frozen=True)
class Work:
    """One computation to do: files in, one file out.

    Attributes
    ----------
    inputs : mapping of str to Path
        Input files by the name they have in GraceDB.
    output : Path
        The file to write.
    parameters : dict
        Settings of the annotation.
    """

    inputs: Mapping[str, Path]
    output: Path
    parameters: Mapping[str, Any]


Function = TypeVar("Function", bound=Callable[[Work], Any])


@dataclass(frozen=True)
class Computation:
    """A declared computation."""

    name: str
    queue: str
    function: Callable[[Work], Any]
    preload: tuple[str, ...] = ()
    prepare: Callable[[Mapping[str, Any]], object] | None = None
    by_hand: ByHand | None = None


_CATALOGUE: dict[str, Computation] = {}
_LOADING = RLock()  # several lanes may load jobs at the same time
_BUILTIN = {  # the module of each built-in job, so that a node imports only the one it needs
    "site-check": "site_check",
    "localize": "localize",
    "multi-order": "multi_order_map",
    "skymap-from-samples": "skymap_from_samples",
    "flatten": "flatten",
    "fits-header": "fits_header",
    "plot-allsky": "plot_allsky",
    "plot-volume": "plot_volume",
    "plot-volume-exact": "plot_volume",
    "plot-coherence": "plot_coherence",
    "external-skymap": "external_skymap",
    "combine-skymaps": "combine_skymaps",
    "plot-overlap": "plot_overlap",
    "plot-p-astro": "plot_classification",
    "plot-em-bright": "plot_classification",
    "em-bright": "em_bright",
    "em-bright-classifier": "em_bright_classifier",
    "p-astro": "p_astro",
    "mchirp-source": "mchirp_source",
    "standby": "standby.pilot",
}


def job(
    *,
    queue: str,
    name: str | None = None,
    preload: Sequence[str] = (),
    prepare: Callable[[Mapping[str, Any]], object] | None = None,
    by_hand: ByHand | None = None,
) -> Callable[[Function], Function]:
    """Declare a computation: ``queue='openmp'`` runs on a whole node, ``'general'`` on one core.

    The function takes a `Work`, writes ``work.output`` and may return a JSON-ready mapping of facts about it.
    Imports of the science stack belong inside the function.  `preload` names the modules that are slow to import, which
    pilots import before any work arrives.  `prepare` gets the policy's parameters and may fill a cache.  Neither may
    start a thread or a parallel region.  `by_hand` makes the computation a command of ``gwbatch job``.  A later
    declaration of a name replaces an earlier one, so a plug-in can provide its own ``localize``.
    """
    if queue not in QUEUES:
        raise ConfigError(f"Unknown queue {queue!r}. Choose one of {', '.join(QUEUES)}.")

    def register(function: Function) -> Function:
        known = name or function.__name__.replace("_", "-")
        _CATALOGUE[known] = Computation(known, queue, function, tuple(preload), prepare, by_hand)
        return function

    return register


def computations() -> dict[str, Computation]:
    """Return all computations by name."""
    for name in _BUILTIN:
        _load(name)
    return _CATALOGUE


def computation(name: str) -> Computation:
    """Return the computation with this name.

    Raises
    ------
    ConfigError
        When the name is unknown; the message lists all jobs.
    """
    _load(name)
    if name not in _CATALOGUE:
        raise ConfigError(f"Unknown job {name!r}. Known jobs: {', '.join(sorted(computations()))}.")
    return _CATALOGUE[name]


def _load(name: str) -> None:
    """Import the module of a built-in job; a plug-in's declaration of the same name takes precedence."""
    module = f"gwbatch.jobs.{_BUILTIN.get(name, '')}"
    with _LOADING:
        if name in _BUILTIN and module not in sys.modules:
            declared = dict(_CATALOGUE)
            import_module(module)
            _CATALOGUE.update(declared)


def queue_of(name: str) -> str:
    """Return the queue that a computation belongs to."""
    return computation(name).queue
