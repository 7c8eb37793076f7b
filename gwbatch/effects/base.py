"""An effect: one thing to do to the world, decided in a transaction and executed after it, once."""

from __future__ import annotations

import json
from typing import Any, ClassVar, NamedTuple

import msgspec

from gwbatch.errors import BadInput, ConfigError

KINDS: dict[str, type[Effect]] = {}
"""Every class of effects by its kind and its aliases, plug-ins' among them."""


class Effect(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing to do to the world. A subclass states what to do; an executor (`gwbatch.executor`) does it.

    The fields of a subclass are stored as JSON. A field that is added later needs a default, so that effects which
    wait in the ledger can still be read.

    Attributes
    ----------
    kind : str
        Names the class in the ledger and in metric labels; never renamed.
    aliases : tuple of str
        Older kinds that this class also reads.
    base_priority : int
        `priority` of the effects of this class. Among those that could run now, the largest goes first.
    max_delay : float
        Longest time between two attempts, in s.
    key_format, subject_format : str
        `key` and `subject`, with fields in braces: ``"{target}/log/{name}"``. Define the properties instead where that
        does not suffice.
    stubborn : bool
        Try again even after an error that nobody has expected, loudly. Others of that sort fail for good.
    needs_gracedb : bool
        Skip the effect where the site profile names no GraceDB server.
    ask_first : bool
        After a restore it counts as one that an earlier attempt may have done.
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
                    f"Cannot declare {cls.__qualname__}: {known.__qualname__} has the kind {kind!r} already."
                )
            KINDS[kind] = cls

    @property
    def key(self) -> str:
        """Unique for the lifetime of the ledger: an effect whose key is known is not executed again."""
        if not self.key_format:
            raise NotImplementedError(f"{type(self).__name__} must define 'key_format', or the property 'key'.")
        return self.key_format.format_map(msgspec.structs.asdict(self))

    @property
    def subject(self) -> str:
        """Effects of one subject are executed in the order in which they were decided."""
        return self.subject_format.format_map(msgspec.structs.asdict(self)) if self.subject_format else self.key

    @property
    def priority(self) -> int:
        """Of the effects that could run now, the one with the largest priority goes first."""
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
        If no class has this kind, or the class cannot be made of these arguments.
    """
    effect = KINDS.get(kind)
    if effect is None:
        raise BadInput(f"Cannot execute an effect of the unknown kind {kind!r}. Known: {', '.join(sorted(KINDS))}.")
    try:
        return msgspec.convert({**json.loads(args), "after": after}, effect)
    except msgspec.ValidationError as error:
        raise BadInput(f"Cannot read the arguments of an effect of kind {kind}: {error}.") from error
