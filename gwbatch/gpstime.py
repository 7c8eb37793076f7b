"""Conversion between GPS seconds and UTC, without the science stack."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gwbatch.errors import BadInput

_EPOCH = datetime(1980, 1, 6, tzinfo=UTC)

# UTC days at whose start a leap second had just been inserted since the GPS epoch (IERS Bulletin C).
_LEAP_DAYS = tuple(
    datetime(year, month, 1, tzinfo=UTC)
    for year, month in (
        (1981, 7), (1982, 7), (1983, 7), (1985, 7), (1988, 1), (1990, 1), (1991, 1), (1992, 7), (1993, 7),
        (1994, 7), (1996, 1), (1997, 7), (1999, 1), (2006, 1), (2009, 1), (2012, 7), (2015, 7), (2017, 1),
    )
)  # fmt: skip


def utc_to_gps(moment: datetime) -> float:
    """Convert a UTC moment to GPS seconds (naive datetimes are taken as UTC)."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    leaps = sum(moment >= day for day in _LEAP_DAYS)
    return (moment - _EPOCH).total_seconds() + leaps


def gps_of(text: str) -> float:
    """Return the GPS seconds of a UTC time in ISO 8601, with or without ``Z``.

    Raises
    ------
    BadInput
        When the text is not such a time.
    """
    try:
        return utc_to_gps(datetime.fromisoformat(text.replace(" ", "T", 1)))
    except (ValueError, OverflowError) as error:
        raise BadInput(f"the time {text[:60]!r} cannot be read") from error


_LEAP_GPS = tuple(utc_to_gps(day) for day in _LEAP_DAYS)


def gps_to_utc(gps: float) -> datetime:
    """Convert a GPS time in seconds to UTC; within a leap second, the second before it is repeated.

    Raises
    ------
    OverflowError
        When the time lies outside the years 1 to 9999.
    """
    leaps = sum(gps >= start for start in _LEAP_GPS)
    return _EPOCH + timedelta(seconds=gps - leaps)


def unix_of(text: str) -> float:
    """Return the Unix time (s) of a UTC time in ISO 8601, with or without ``Z``.

    Raises
    ------
    BadInput
        When the text is not such a time.
    """
    return gps_to_utc(gps_of(text)).timestamp()


def unix_to_utc(seconds: float) -> datetime:
    """Convert a Unix time in seconds to UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def iso_text(moment: datetime, precision: str = "seconds") -> str:
    """Format a UTC moment in ISO 8601 with ``Z``, to whole ``seconds`` or to ``milliseconds``."""
    return moment.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")
