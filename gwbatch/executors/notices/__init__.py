"""Executors of public notices: all steps from a planned notice to its publication and circular.

`checking` judges the data around the event, and `recalling` asks GraceDB which notices have been sent already.
`looking` takes a snapshot of what the ledger knows, `collecting` reads the files, and `waiting` decides what is worth
waiting for. `freezing` judges the notice, and `fixing` records its content for good. `publishing` sends it, `storing`
stores it in GraceDB, and `drafting` drafts the circular.
"""

from __future__ import annotations

from gwbatch.executors.notices import checking, drafting, freezing, publishing, recalling, storing  # noqa: F401  they register
