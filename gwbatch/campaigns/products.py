"""The registry of products: one function for each, from gwbatch or from plug-ins."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from gwbatch.campaigns.folder import Folder
from gwbatch.campaigns.settings import CampaignSettings, Science
from gwbatch.campaigns.tasks import Task
from gwbatch.errors import ConfigError
from gwbatch.plugins import import_plugins


@dataclass(frozen=True)
class Work:
    """The input of a product's function: one event.

    Attributes
    ----------
    unfinished : Path
        A folder for files that are being written, on the same file system as their final place.
    """

    task: Task
    folder: Folder
    science: Science
    unfinished: Path

    @cached_property
    def event(self) -> Any:
        """The event in the form that BAYESTAR takes, read on first access."""
        from gwbatch.campaigns.inputs import event_of

        return event_of(Path(self.task.path), self.task.sha256, self.task.coinc)

    def file(self, product: str, suffix: str) -> Path:
        """Return the path of a product of this event, and make its folder."""
        path = self.folder.file(product, self.task.id, suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def draft(self, product: str, suffix: str) -> Path:
        """Return where to write a product until it is complete, and make the folder."""
        self.unfinished.mkdir(parents=True, exist_ok=True)
        return self.unfinished / f"{os.getpid()}-{product}-{self.task.id}{suffix}"


Function = TypeVar("Function", bound=Callable[[Work], Mapping[str, Any]])


@dataclass(frozen=True)
class Product:
    """A declared product.

    Attributes
    ----------
    needs : tuple of str
        Products that must be made first.
    preload : tuple of str
        Modules that a science process imports before its first event.
    memory : float
        MB that a process needs to make it.
    suffix : str
        Suffix of the product's file; empty if it yields only facts.
    """

    name: str
    function: Callable[[Work], Mapping[str, Any]]
    needs: tuple[str, ...]
    preload: tuple[str, ...]
    memory: float
    suffix: str


_PRODUCTS: dict[str, Product] = {}


def product(
    name: str, *, needs: Iterable[str] = (), preload: Iterable[str] = (), memory: float = 400.0, suffix: str = ""
) -> Callable[[Function], Function]:
    """Declare a product.  The function takes a `Work` and returns facts (JSON).

    It must write its file to `Work.draft` first and then rename it, because its process may be killed at any time.
    """

    def register(function: Function) -> Function:
        _PRODUCTS[name] = Product(name, function, tuple(needs), tuple(preload), memory, suffix)
        return function

    return register


def load(folder: Folder) -> CampaignSettings:
    """Return a campaign's settings, after importing the plug-ins that declare its products."""
    settings = folder.settings()
    import_plugins(settings.plugins, settings.plugin_folders)
    return settings


def products() -> Mapping[str, Product]:
    """Return all products by name."""
    import_module("gwbatch.campaigns.science")
    return _PRODUCTS


def in_order(names: Iterable[str]) -> list[Product]:
    """Return products and everything they need, in the order in which they are made.

    Raises
    ------
    ConfigError
        If a product is unknown.
    """
    known, ordered = products(), {}
    todo = list(names)

    def add(name: str) -> None:
        if name not in known:
            raise ConfigError(f"Cannot make {name!r}: it is not a product. Choose from {', '.join(sorted(known))}.")
        for need in known[name].needs:
            add(need)
        ordered[name] = known[name]

    for name in todo:
        add(name)
    return list(ordered.values())
