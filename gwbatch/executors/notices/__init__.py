"""From a planned notice to astronomers: check the data, look, collect, freeze, publish, store, draft.

`checking` judges the data around the event, `recalling` asks GraceDB what has been sent already, `looking` takes a
picture of what the ledger knows, `collecting` reads the files, `waiting` says what is worth waiting for, `freezing`
judges the notice and `fixing` fixes it, `publishing` sends it, `storing` tells GraceDB, `drafting` writes the
circular.
"""

from __future__ import annotations

from gwbatch.executors.notices import checking, drafting, freezing, publishing, recalling, storing  # noqa: F401  they register
