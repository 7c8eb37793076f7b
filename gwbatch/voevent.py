"""VOEvent documents, parsed without following or expanding anything."""

from __future__ import annotations

from typing import Any

from lxml import etree

from gwbatch.errors import BadInput


def parse_voevent(document: bytes) -> Any:
    """The root element.

    Raises
    ------
    BadInput
        When it is not well-formed, or declares entities (which no notice does).
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(document, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise BadInput(f"not XML: {error}") from error
    doctype: Any = root.getroottree().docinfo.internalDTD
    if doctype is not None and any(True for _ in doctype.iterentities()):
        raise BadInput("a VOEvent that declares entities: refused")
    return root


def is_voevent(payload: bytes) -> bool:
    """Whether it is XML rather than JSON: some observatories send VOEvents on topics of JSON notices."""
    return payload[:100].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
