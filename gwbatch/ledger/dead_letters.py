"""The names of dead letters: ``m17`` is a message that a lane gave up, ``e5`` an effect."""

from __future__ import annotations

from gwbatch.errors import ConfigError


def parse(name: str) -> tuple[str, int]:
    """Return the kind (``m`` or ``e``) and the number that a dead letter's name holds.

    Raises
    ------
    ConfigError
        If the name is invalid.
    """
    kind, number = name[:1], name[1:]
    if kind not in ("m", "e") or not (number.isascii() and number.isdigit() and len(number) < 19):
        raise no_such(name)
    return kind, int(number)


def no_such(name: str) -> ConfigError:
    """Return the error for a dead letter that does not exist."""
    return ConfigError(f"There is no dead letter {name!r}; see 'gwbatch deadletter list'.")
