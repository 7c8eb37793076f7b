"""The registry of executors by class of effect, and how effects are executed, marked dead and retried."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from gwbatch.effects import KINDS, Effect, decode
from gwbatch.errors import BadInput, ConfigError, GwbatchError
from gwbatch.ledger import effects

if TYPE_CHECKING:
    from gwbatch.ledger import Transaction
    from gwbatch.ledger.effects import Claimed
    from gwbatch.runtime import Runtime

E = TypeVar("E", bound=Effect)


@dataclass(frozen=True)
class Claim(Generic[E]):
    """An effect that a worker has claimed.

    Attributes
    ----------
    attempts : int
        1 on the first attempt.
    created : float
        When the effect was decided, Unix time in s.
    """

    effect: E
    id: int
    key: str
    attempts: int
    message_id: int | None
    created: float

    @property
    def repeated(self) -> bool:
        """Whether an earlier attempt may have succeeded. If so, ask the other side before repeating it."""
        return self.attempts > 1


@dataclass(frozen=True)
class EffectResult:
    """The result of executing an effect.

    Attributes
    ----------
    detail : mapping
        Stored with the effect.
    commit : callable or None
        Called with the transaction that marks the effect done, to record what follows from it.
    """

    detail: Mapping[str, Any] = field(default_factory=dict)
    commit: Callable[[Transaction], None] | None = None

    @classmethod
    def skipped(cls, reason: str) -> EffectResult:
        """Return the result of an effect that is no longer needed."""
        return cls({"skipped": reason})


Execute = Callable[[Claim[E], "Runtime"], EffectResult]
OnDead = Callable[["Transaction", Claim[E], str, "Runtime"], None]
OnRetry = Callable[["Transaction", E], None]


@dataclass(frozen=True)
class Executor(Generic[E]):
    """The functions that handle the effects of one class.

    Attributes
    ----------
    on_dead : callable or None
        Called in the transaction that marks an effect dead, with the reason.
    on_retry : callable or None
        Called in the transaction that revives a dead effect.
    """

    execute: Execute[E]
    on_dead: OnDead[E] | None = None
    on_retry: OnRetry[E] | None = None


EXECUTORS: dict[type[Effect], Executor[Any]] = {}


def executor(
    effect: type[E], *, on_dead: OnDead[E] | None = None, on_retry: OnRetry[E] | None = None
) -> Callable[[Execute[E]], Execute[E]]:
    """Register the function that executes the effects of a class; it must be idempotent.

    The function gets the claim and the `Runtime`. If ``claim.repeated``, an earlier attempt may have succeeded.

    Raises
    ------
    ConfigError
        If the class already has another executor.
    """

    def register(function: Execute[E]) -> Execute[E]:
        known = EXECUTORS.get(effect)
        if known is not None and _name(known.execute) != _name(function):
            raise ConfigError(
                f"Cannot register {_name(function)}: {_name(known.execute)} already executes {effect.kind}."
            )
        EXECUTORS[effect] = Executor(function, on_dead, on_retry)
        return function

    return register


def execute(claimed: Claimed, runtime: Runtime) -> EffectResult:
    """Execute a claimed effect.

    Raises
    ------
    BadInput
        If its kind is unknown, or its arguments do not fit its class.
    """
    claim = _claim(claimed)
    if claim.effect.needs_gracedb and not runtime.profile.gracedb.url:
        return EffectResult.skipped("the site profile names no GraceDB server")
    return _executor(claimed.kind).execute(claim, runtime)


def on_dead(tx: Transaction, claimed: Claimed, reason: str, runtime: Runtime) -> None:
    """Let the executor record what follows from an effect that was marked dead."""
    hook = _executor(claimed.kind).on_dead
    if hook is not None:
        with suppress(BadInput):  # an effect that cannot be decoded is dead for that reason
            hook(tx, _claim(claimed), reason, runtime)


def retry_dead(tx: Transaction, key: str | None = None) -> int:
    """Requeue one dead effect, or all of them, and return how many."""
    revived = effects.retry_dead(tx, key)
    for kind, args in revived:
        hook = _executor(kind).on_retry
        if hook is not None:
            with suppress(BadInput):
                hook(tx, decode(kind, args))
    return len(revived)


def _executor(kind: str) -> Executor[Any]:
    """Return the executor of a kind, or one that raises an error if none is registered."""
    effect = KINDS.get(kind)
    return (EXECUTORS.get(effect) if effect is not None else None) or Executor(_execute_nothing)


def _execute_nothing(claim: Claim[Any], runtime: Runtime) -> EffectResult:
    raise GwbatchError(
        f"Cannot execute an effect of kind {claim.effect.kind!r}: it has no executor. Decorate a function "
        f"with @executor({type(claim.effect).__name__})."
    )


def _claim(claimed: Claimed) -> Claim[Any]:
    effect = decode(claimed.kind, claimed.args, claimed.after)
    return Claim(effect, claimed.id, claimed.key, claimed.attempts, claimed.message_id, claimed.created)


def _name(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"
