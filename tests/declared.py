"""Handlers that a test declares, in a registry of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gwbatch.config.policy import Policy, load_policy
from gwbatch.config.profile import Profile
from gwbatch.handlers import declarations
from gwbatch.handlers.declarations import Declaration
from gwbatch.handlers.registry import Registry


class _Growing(list[Declaration]):
    """Declarations that a registry resolves at once."""

    def __init__(self, registry: Registry, policy: Policy, profile: Profile) -> None:
        super().__init__()
        self.registry, self.policy, self.profile = registry, policy, profile

    def append(self, declaration: Declaration) -> None:
        super().append(declaration)
        self.registry.add(declaration, self.policy, self.profile)


@contextmanager
def declaring(registry: Registry | None = None) -> Iterator[Registry]:
    """Have every handler that is declared meanwhile in this registry, and in no other."""
    growing = _Growing(Registry() if registry is None else registry, load_policy(), Profile())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(declarations, "DECLARED", growing)
        yield growing.registry


def current() -> Registry:
    """Return the registry of the innermost `declaring`."""
    assert isinstance(declarations.DECLARED, _Growing)
    return declarations.DECLARED.registry
