"""From a planned notice to astronomers: look, collect, freeze, publish, store, draft.

`looking` takes a picture of what the ledger knows, `collecting` reads the files, `freezing` judges and fixes the
notice, `publishing` sends it, `storing` tells GraceDB, `drafting` writes the circular.
"""

from __future__ import annotations

from gwbatch.executors.notices import drafting, freezing, publishing, storing  # noqa: F401  they register executors
