"""The base class of effects, which are decided in a transaction and executed once, after it."""

from __future__ import annotations

import json
from typing import Any, ClassVar, NamedTuple

import msgspec

from gwbatch.errors import BadInput, ConfigError

KINDS: dict[str, type[Effect]] = {}
"""Every class of effects by its kind and aliases, including those of plug-ins."""


class Effect(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One action on the outside world. A subclass states what to do; an executor (`gwbatch.executor`) does it.

    The fields of a subclass are stored as JSON. A field that is added later needs a default, so that effects
    waiting in the ledger can still be read.

    Attributes
    ----------
    kind : str
        Name of the class in the ledger and in metric labels. It must never change.
    aliases : tuple of str
        Older kinds that this class also reads.
    base_priority : int
        Default `priority` of this class. Of the effects that could run now, the one with the highest goes first.
    max_delay : float
        Longest time between two attempts, in s.
    key_format, subject_format : str
        Formats of `key` and `subject`, with fields in braces: ``"{target}/log/{name}"``. If that does not suffice,
        define the properties instead.
    stubborn : bool
        Retry even after an unexpected error, and log its traceback. Other effects then fail permanently.
    needs_gracedb : bool
        Skip the effect if the site profile names no GraceDB server.
    ask_first : bool
        For a week after a restore, assume that an earlier attempt may have executed the effect.
    after : str or None
        Key of an effect that must be done first.
    """

    kind: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    base_priority: ClassVar[int] = 0
    ask_first: ClassVar[bool] = True
    max_delay: ClassVar[float] = 60.0
    stubborn: ClassVar[bool] = False
    needs_gracedb: ClassVar[bool] = False
    key_format: ClassVar[str] = ""
    subject_format: ClassVar[str] = ""

    after: str | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for kind in (cls.kind, *cls.aliases):
            known = KINDS.get(kind)
            if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
                raise ConfigError(
                    f"Cannot declare {cls.__qualname__}: {known.__qualname__} already has the kind {kind!r}."
                )
            KINDS[kind] = cls

    @property
    def key(self) -> str:
        """A name unique for the lifetime of the ledger. An effect whose key is already known is not executed again."""
        if not self.key_format:
            raise NotImplementedError(f"{type(self).__name__} must define 'key_format', or the property 'key'.")
        return self.key_format.format_map(msgspec.structs.asdict(self))

    @property
    def subject(self) -> str:
        """What the effect acts on. Effects on one subject are executed in the order in which they were decided."""
        return self.subject_format.format_map(msgspec.structs.asdict(self)) if self.subject_format else self.key

    @property
    def priority(self) -> int:
        """The rank of the effect. Of the effects that could run now, the one with the highest priority goes first."""
        return self.base_priority


class Row(NamedTuple):
    """An effect as the ledger stores it."""

    kind: str
    key: str
    subject: str
    args: str
    after: str | None
    priority: int


def encode(effect: Effect) -> Row:
    """Return the row of an effect."""
    args = msgspec.to_builtins(effect)
    args.pop("after", None)
    return Row(effect.kind, effect.key, effect.subject, json.dumps(args), effect.after, effect.priority)


def decode(kind: str, args: str, after: str | None = None) -> Effect:
    """Return the effect of a row; fields that its class does not have are ignored.

    Raises
    ------
    BadInput
        If no class has this kind, or the arguments do not fit the class.
    """
    effect = KINDS.get(kind)
    if effect is None:
        raise BadInput(f"Cannot execute an effect of the unknown kind {kind!r}. Known: {', '.join(sorted(KINDS))}.")
    try:
        return msgspec.convert({**json.loads(args), "after": after}, effect)
    except msgspec.ValidationError as error:
        raise BadInput(f"Cannot read the arguments of an effect of kind {kind}: {error}.") from error
