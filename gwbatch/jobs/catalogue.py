"""The computations by name, and the decorator that declares them."""

from __future__ import annotations

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
_LOADING = RLock()  # lanes ask at the same time
_BUILTIN = [  # modules that are still to be imported
    "site_check", "localize", "multi_order_map", "skymap_from_samples", "flatten", "fits_header", "plot_allsky",
    "plot_volume", "plot_coherence",
    "external_skymap", "combine_skymaps", "plot_overlap", "plot_classification",
    "em_bright", "em_bright_classifier", "p_astro", "mchirp_source", "standby.pilot",
]  # fmt: skip


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
    Imports of the science stack belong inside the function; `preload` names the modules that take their time, for
    pilots that have them imported before the work comes, and `prepare` gets the policy's parameters and may fill a
    cache (neither may start a thread or a parallel region).  `by_hand` makes it a command of ``gwbatch job``.  A later
    declaration of a name replaces an earlier one, so a plug-in can bring its own ``localize``.
    """
    if queue not in QUEUES:
        raise ConfigError(f"There is no queue {queue!r}: choose one of {', '.join(QUEUES)}.")

    def register(function: Function) -> Function:
        known = name or function.__name__.replace("_", "-")
        _CATALOGUE[known] = Computation(known, queue, function, tuple(preload), prepare, by_hand)
        return function

    return register


def computations() -> dict[str, Computation]:
    """All computations by name; plug-ins that replace a built-in one keep their place."""
    with _LOADING:
        while _BUILTIN:
            brought = dict(_CATALOGUE)
            import_module(f"gwbatch.jobs.{_BUILTIN[-1]}")
            _CATALOGUE.update(brought)
            _BUILTIN.pop()
    return _CATALOGUE


def computation(name: str) -> Computation:
    """A computation by name.

    Raises
    ------
    ConfigError
        When there is none; the message lists all.
    """
    known = computations()
    if name not in known:
        raise ConfigError(f"There is no job {name!r}. Known: {', '.join(sorted(known))}.")
    return known[name]


def queue_of(name: str) -> str:
    """The queue a computation belongs to."""
    return computation(name).queue
