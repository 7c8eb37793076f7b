"""How a computation is called by hand: what ``gwbatch job`` makes its command from."""

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
        What the command calls it.
    file : str
        The name by which the computation finds it; empty for the file's own name.
    by_suffix : mapping of str to str
        Names that depend on how the file's own name ends.
    help : str
        Makes it an option instead of an argument.
    is_required : bool
        Whether an argument must be there.
    """

    name: str
    file: str = ""
    by_suffix: Mapping[str, str] = field(default_factory=dict)
    help: str = ""
    is_required: bool = True

    def known_as(self, own: str) -> str:
        """Return the name by which the computation finds a file with this name of its own."""
        return next((name for end, name in self.by_suffix.items() if own.endswith(end)), self.file or own)


@dataclass(frozen=True)
class Parameter:
    """A parameter of the computation, as an option.

    Attributes
    ----------
    name : str
        The name by which the computation finds it; the option's name, too, unless `option` names another.
    kind : type, or tuple of types
        ``str``, ``int``, ``float``, ``bool`` (an option and its ``--no-`` form), or several for several values.
    least, most : float or None
        Bounds of a number, themselves included unless `is_open`.
    is_repeated : bool
        Whether the option may be given several times; the computation gets a list.
    stands_for : object
        The value that an option without one of its own stands for.
    default : object
        What holds where neither an option nor the policy says anything.
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
    """An option that has another computation do it, which takes only some of the parameters."""

    option: str
    job: str
    help: str


@dataclass(frozen=True)
class ByHand:
    """The command of a computation.

    Attributes
    ----------
    summary : str
        Its help; the first line says what it does.
    examples : sequence of str
        Without the program's name.
    wrong : callable
        Returns what is wrong with a choice of inputs (by the names by which the computation finds them), or None.
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
