"""The sandbox: a GraceDB-compatible server and a loopback Kafka broker that carries its alerts.

For the demo, tests and offline work.  `server` runs it; `routes` is the HTTP face (the contract of the
``ligo-gracedb`` client), `events`, `superevents` and `annotations` the rules behind it, `store` its SQLite
file with an outbox of alerts, `broker` the Kafka side, `event_files` reads what pipelines upload.
"""

from __future__ import annotations
