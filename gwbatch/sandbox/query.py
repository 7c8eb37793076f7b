"""Text queries, in the forms that clients use: ids, ``key: value``, ranges ``a .. b``, comparisons, bare words.

Terms with the same key are alternatives. Terms with different keys must all match.
"""

from __future__ import annotations

import operator
import re
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from gwbatch.sandbox.store import ApiError
from gwbatch.sandbox.vocabulary import CATEGORIES, GROUPS, LABELS, PIPELINES, SEARCHES

_NUMBER = r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"
_TOKEN = re.compile(
    rf"""
    (?:(?P<key>[A-Za-z_][\w.]*)\s*(?P<op>:|<=|>=|<|>|=)\s*)?
    (?:(?P<dates>\d{{4}}-\d\d-\d\d[T\d:]*\s*\.\.\s*\d{{4}}-\d\d-\d\d[T\d:]*)
      |(?P<low>{_NUMBER})\s*\.\.\s*(?P<high>{_NUMBER})
      |"(?P<quoted>[^"]*)"
      |(?P<word>[^\s":=<>]+))
    """,
    re.VERBOSE,
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq,
}  # fmt: skip
_EVENT_ID = re.compile(r"[GEHMT]\d+")
_SUPEREVENT_ID = re.compile(r"[TM]?(S|GW)\d{6}[a-zA-Z]+")

Object = dict[str, Any]
Test = Callable[[Object], bool]


def search(kind: str, text: str, objects: list[Object]) -> list[Object]:
    """Return the objects (events or superevents, as the API shows them) that match a query.

    Raises
    ------
    ApiError
        400 if the query is invalid.
    """
    tests: dict[str, list[Test]] = defaultdict(list)
    position = 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position + len(text[position:]) - len(text[position:].lstrip()))
        if match is None:
            raise ApiError(400, "Invalid query")
        position = match.end()
        key, test = _term(kind, match)
        if key not in tests and key == "keyword":
            continue
        tests[key].append(test)
    _leave_out_mock_data(kind, text, tests)
    return [
        found for found in objects if all(any(test(found) for test in alternatives) for alternatives in tests.values())
    ]


def _term(kind: str, match: re.Match[str]) -> tuple[str, Test]:
    key, op = (match["key"] or "").lower(), match["op"]
    if match["low"] is not None:
        low, high = float(match["low"]), float(match["high"])
        field = _field(key or ("t_0" if kind == "superevent" else "gpstime"))
        return field, lambda found: isinstance(value := _get(found, field), int | float) and low <= value <= high
    if match["dates"] is not None:
        return _keyed("created", ":", re.sub(r"\s", "", match["dates"]))
    word = match["quoted"] if match["quoted"] is not None else match["word"]
    if key:
        return _keyed(key, op, word)
    return _bare(kind, word)


def _keyed(key: str, op: str, word: str) -> tuple[str, Test]:
    field = _field(key)
    if op in ("<", "<=", ">", ">="):
        limit, compare = _float(word), _COMPARE[op]
        return field + op, lambda found: isinstance(value := _get(found, field), int | float) and compare(value, limit)
    if key == "created":
        low, _, high = word.partition("..")
        return "created", lambda found: low <= _iso(found["created"]) <= (high or low) + "~"
    if key in ("id", "graceid", "superevent_id"):
        return "id", lambda found: word in (found.get("graceid"), found.get("superevent_id"), found.get("gw_id"))
    if key == "label":
        return "label", lambda found: word in found["labels"]
    if key == "category":
        wanted = word.lower()
        return "category", lambda found: str(found.get("category", "")).lower() == wanted
    try:
        number = float(word)
    except ValueError:
        return field, lambda found: str(_get(found, field)).lower() == word.lower()
    return field, lambda found: _get(found, field) in (number, word)


def _bare(kind: str, word: str) -> tuple[str, Test]:
    if _SUPEREVENT_ID.fullmatch(word):
        names = ("superevent_id", "gw_id") if kind == "superevent" else ("superevent",)
        return "id", lambda found: word in [found.get(name) for name in names]
    if _EVENT_ID.fullmatch(word):
        if kind == "superevent":
            return "event", lambda found: word in found["gw_events"] + found["em_events"]
        return "id", lambda found: found["graceid"] == word
    lower = word.lower()
    if kind == "superevent" and lower in [name.lower() for name in (*CATEGORIES, *CATEGORIES.values())]:
        wanted = CATEGORIES.get(word, word).lower()
        return "category", lambda found: found["category"].lower() == wanted
    for field, known in (("group", GROUPS), ("pipeline", PIPELINES), ("search", SEARCHES)):
        if lower in [name.lower() for name in known]:
            return _keyed(field, ":", word)
    if word in LABELS:
        return "label", lambda found: word in found["labels"]
    raise ApiError(400, "Invalid query")


def _leave_out_mock_data(kind: str, text: str, tests: dict[str, list[Test]]) -> None:
    """Exclude test and MDC data unless the query asks for them."""
    lower = text.lower()
    if {"id", "event"} & tests.keys() or (kind == "superevent" and "category" in tests):
        return
    if kind == "superevent":
        asked = [name for name in ("test", "mdc") if name in lower]
        tests["category"].append(lambda found: found["category"].lower() in (asked or ["production"]))
        return
    if "test" not in lower and "superevent" not in tests:
        tests["no test"].append(lambda found: found["group"] != "Test")
    if "mdc" not in lower and "superevent" not in tests:
        tests["no mdc"].append(lambda found: found["search"] != "MDC")


def _iso(created: str) -> str:
    return created.removesuffix(" UTC").replace(" ", "T")


def _field(key: str) -> str:
    return {"grbevent.trigger_id": "extra_attributes.GRB.trigger_id", "gps": "gpstime", "id": "graceid"}.get(key, key)


def _get(found: Object, field: str) -> Any:
    value: Any = found
    for name in field.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _float(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise ApiError(400, "Invalid query") from None
