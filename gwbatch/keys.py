"""The grammar of keys: the names that superevents, external events and pairs have in the ledger.

``S@G487`` is a superevent that we created from event G487, ``S230518h`` one that somebody else created (its GraceDB
ID), ``E@Fermi-524666471`` an external event, and ``E@Fermi-524666471/S@G487`` the pair of the two.
"""

from __future__ import annotations

_SUPEREVENT, _EXTERNAL = "S@", "E@"


def superevent_key(graceid: str) -> str:
    """Return the key of a superevent that we create from the event `graceid`."""
    return f"{_SUPEREVENT}{graceid}"


def external_key(observatory: str, trigger_id: str, *, test: bool, mdc: bool, time: float) -> str:
    """Return the key of a trigger's external event.

    Categories never mix. Mock triggers (`mdc`) may all have the same ID, so the key also holds their time (GPS s).
    """
    category = f"{'.test' if test else ''}{'.mdc' if mdc else ''}"
    return f"{_EXTERNAL}{observatory}{category}-{trigger_id}{f'-{int(time)}' if mdc else ''}"


def pair_key(external: str, superevent: str) -> str:
    """Return the key of the pair of an external event and a superevent."""
    return f"{external}/{superevent}"


def split_pair(key: str) -> tuple[str, str]:
    """Return the external event and the superevent of a pair; the superevent is empty if `key` is no pair."""
    external, _, superevent = key.partition("/")
    return external, superevent


def is_our_superevent(key: str) -> bool:
    """Return whether `key` names a superevent that we created."""
    return key.startswith(_SUPEREVENT)


def is_external(key: str) -> bool:
    """Return whether `key` names an external event, or a pair."""
    return key.startswith(_EXTERNAL)


def is_local(name: str) -> bool:
    """Return whether `name` is the key of an object that gets its GraceDB ID only when an effect creates it."""
    return name.startswith((_SUPEREVENT, _EXTERNAL))


def creation_of(key: str) -> str | None:
    """Return the key of the effect that creates the object in GraceDB; None if we do not create it."""
    return f"{key}/create" if is_local(key) else None
