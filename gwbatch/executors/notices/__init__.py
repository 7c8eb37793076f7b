"""From a planned notice to astronomers: check the data, look, collect, freeze, publish, store, draft.

`checking` judges the data around the event, `looking` takes a picture of what the ledger knows, `collecting` reads the
files, `freezing` judges and fixes the notice, `publishing` sends it, `storing` tells GraceDB, `drafting` writes the
circular.
"""

from __future__ import annotations

from gwbatch.executors.notices import checking, drafting, freezing, publishing, storing  # noqa: F401  they register
