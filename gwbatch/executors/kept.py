"""Reading of files that jobs made, from this machine or, if its disk was lost, from another copy or GraceDB."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from gwbatch.errors import BadInput, TransientError
from gwbatch.gracedb import GraceDBError
from gwbatch.keys import split_pair
from gwbatch.ledger.restored import taken_before
from gwbatch.mirror.products import StoredProduct
from gwbatch.mirror.superevents import SupereventStore
from gwbatch.runtime import Runtime


def content_of(path: str, purpose: str, runtime: Runtime) -> bytes:
    """Return the content of a file that a job made.

    Parameters
    ----------
    purpose : str
        What cannot be done without the file, as the beginning of the error message.

    Raises
    ------
    TransientError
        If it is neither here nor in GraceDB, and the ledger was restored recently. A job may be making it again.
    BadInput
        If it is in neither place, and the ledger was not restored recently.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        for product in SupereventStore(runtime.ledger.connection).products_of_file(path):
            found = _elsewhere(product, path, runtime)
            if found is not None:
                return found
        reason = f"{purpose}: {path} cannot be read ({error.strerror})."
        if taken_before(runtime.ledger.connection, runtime.clock.now()) is not None:
            raise TransientError(f"{reason} The local copy was lost. Retrying until it is recreated.") from error
        raise BadInput(reason) from error


def _elsewhere(product: StoredProduct, path: str, runtime: Runtime) -> bytes | None:
    if product.path is not None and product.path != path:
        with suppress(OSError):
            return Path(product.path).read_bytes()
    name = str(product.facts.get("uploaded") or product.facts.get("filename") or product.name)
    owner = split_pair(product.subject)[1] or product.subject  # the superevent has the files of a pair
    with suppress(GraceDBError):
        return runtime.gracedb().download(runtime.graceid(owner), name)
    return None
