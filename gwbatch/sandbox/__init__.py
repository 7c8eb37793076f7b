"""The sandbox: a GraceDB-compatible server and a loopback Kafka broker that carries its alerts.

It serves the demo, tests and offline work. `server` runs it. `routes` is the HTTP API (the contract of the
``ligo-gracedb`` client); `events`, `superevents` and `annotations` implement the rules behind it. `store` is its SQLite
file with an outbox of alerts, `broker` publishes them over Kafka, and `event_files` reads what pipelines upload.
"""

from __future__ import annotations
