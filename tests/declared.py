"""Handlers that a test declares, in a registry of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gwbatch.alerts import kinds as alert_kinds
from gwbatch.annotation import PRODUCTS
from gwbatch.checks import CHECKS, load_checks
from gwbatch.config.policy import Policy, load_policy
from gwbatch.config.profile import Profile
from gwbatch.external import MISSIONS
from gwbatch.handlers import declarations
from gwbatch.handlers.declarations import Declaration
from gwbatch.handlers.registry import Registry
from gwbatch.jobs.catalogue import computations
from gwbatch.metrics import measured  # noqa: F401  declares gwbatch's own metrics, so that `undone` keeps them
from gwbatch.metrics.declaring import METRICS


class _Growing(list[Declaration]):
    """A list whose new declarations go into a registry at once."""

    def __init__(self, registry: Registry, policy: Policy, profile: Profile) -> None:
        super().__init__()
        self.registry, self.policy, self.profile = registry, policy, profile

    def append(self, declaration: Declaration) -> None:
        super().append(declaration)
        self.registry.add(declaration, self.policy, self.profile)


@contextmanager
def undone() -> Iterator[None]:
    """Forget, at the end of the block, all extensions declared in it, such as products, missions and metrics."""
    load_checks()
    tables: list[Any] = [computations(), alert_kinds.KINDS, METRICS, CHECKS]
    lists: list[list[Any]] = [MISSIONS, PRODUCTS]
    kept, listed = [dict(table) for table in tables], [list(one) for one in lists]
    try:
        yield
    finally:
        for table, before in zip(tables, kept, strict=True):
            table.clear()
            table.update(before)
        for one, was in zip(lists, listed, strict=True):
            one[:] = was


@contextmanager
def declaring(registry: Registry | None = None) -> Iterator[Registry]:
    """Put every handler declared in the block into this registry only; forget all other declarations at the end."""
    growing = _Growing(Registry() if registry is None else registry, load_policy(), Profile())
    with undone(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(declarations, "DECLARED", growing)
        yield growing.registry


def current() -> Registry:
    """Return the registry of the innermost `declaring`."""
    assert isinstance(declarations.DECLARED, _Growing)
    return declarations.DECLARED.registry
