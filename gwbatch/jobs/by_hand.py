"""Declarations from which ``gwbatch job`` makes the command of a computation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Input:
    """A file that the computation reads.

    Attributes
    ----------
    name : str
        Name of the command's argument or option.
    file : str
        Name under which the computation finds the file; empty for the file's own name.
    by_suffix : mapping of str to str
        Names that replace `file`, by the suffix of the file's own name.
    help : str
        Help text; if there is one, the input is an option instead of an argument.
    is_required : bool
        Whether an argument is required; options never are.
    """

    name: str
    file: str = ""
    by_suffix: Mapping[str, str] = field(default_factory=dict)
    help: str = ""
    is_required: bool = True

    def known_as(self, own: str) -> str:
        """Return the name under which the computation finds a file whose own name is `own`."""
        return next((name for end, name in self.by_suffix.items() if own.endswith(end)), self.file or own)


@dataclass(frozen=True)
class Parameter:
    """A parameter of the computation, as an option.

    Attributes
    ----------
    name : str
        Name under which the computation finds it, and the option's name unless `option` gives another.
    kind : type, or tuple of types
        ``str``, ``int``, ``float``, ``bool`` (an option and its ``--no-`` form), or a tuple for an option that takes
        several values.
    least, most : float or None
        Bounds of a number, inclusive unless `is_open`.
    is_repeated : bool
        Whether the option may be given several times; the computation gets a list.
    stands_for : object
        Value that the option sets if it is a flag without a value of its own.
    default : object
        Value if neither an option nor the policy gives one.
    """

    name: str
    help: str
    kind: type | tuple[type, ...] = str
    option: str = ""
    least: float | None = None
    most: float | None = None
    is_open: bool = False
    is_repeated: bool = False
    is_required: bool = False
    stands_for: Any = None
    default: Any = None
    metavar: str | None = None


@dataclass(frozen=True)
class Other:
    """An option that runs another computation instead, which takes only some of the parameters."""

    option: str
    job: str
    help: str


@dataclass(frozen=True)
class ByHand:
    """The command of a computation.

    Attributes
    ----------
    summary : str
        Help text; its first line says what the command does.
    examples : sequence of str
        Example commands, without ``gwbatch job``.
    wrong : callable
        Takes the names under which the computation finds its inputs; returns what is wrong with them, or None.
    """

    summary: str
    inputs: tuple[Input, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    other: Other | None = None
    examples: tuple[str, ...] = ()
    wrong: Callable[[Collection[str]], str | None] = lambda inputs: None


SKYMAP = Input("skymap")
GRACEID = Parameter("graceid", "Event id for the FITS header.")
DPI = Parameter("dpi", "Dots per inch.  [default: the policy's, 200]", int, least=10, most=2400)
CONTOURS = Parameter(
    "contours", "Credible level in per cent; repeatable.", float, "contour", 0, 100, is_open=True, is_repeated=True
)
