"""Executors of notifications: a webhook in the format that Mattermost and Slack accept, and e-mail."""

from __future__ import annotations

import smtplib
import socket
from email.message import EmailMessage
from pathlib import Path

import requests

from gwbatch.effects.kinds import Email, Webhook
from gwbatch.errors import BadInput, ConfigError, TransientError
from gwbatch.executors.registry import Claim, EffectResult, executor
from gwbatch.runtime import Runtime

PATIENCE = 15.0  # s
LONGEST = 2000  # characters
PERMANENT = 500  # SMTP reply codes from here on are permanent failures
NOT_TAKEN = 300  # HTTP statuses from here on mean not delivered; redirects are not followed
BUSY = 500  # HTTP statuses from here on, and 429, are worth a retry


@executor(Webhook)
def webhook(claim: Claim[Webhook], runtime: Runtime) -> EffectResult:
    """Post a text; it may arrive twice if a reply is lost."""
    path = Path(runtime.profile.notify.webhook_file).expanduser()
    try:
        url = path.read_text().strip()
    except OSError as error:
        raise ConfigError(f"Cannot read the webhook's address from {path}: {error.strerror}.") from error
    message = {"username": "gwbatch", "text": _text(claim.effect.text)}
    try:
        reply = requests.post(url, json=message, timeout=PATIENCE, allow_redirects=False)
    except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema):
        raise BadInput(f"Cannot post to the address in {path}: it is not a valid URL. Correct it there.") from None
    except requests.RequestException as error:
        # The error contains the address, which is a secret.
        raise TransientError(f"The webhook did not answer ({type(error).__name__}).") from None
    if reply.status_code == requests.codes.too_many or reply.status_code >= BUSY:
        raise TransientError(f"The webhook answered {reply.status_code}.")
    if reply.status_code >= NOT_TAKEN:
        raise BadInput(f"The webhook refused the message with status {reply.status_code}: {reply.text[:200]}")
    return EffectResult({"status": reply.status_code})


@executor(Email)
def email(claim: Claim[Email], runtime: Runtime) -> EffectResult:
    """Send a text through the site's mail server."""
    settings, text = runtime.profile.notify, _text(claim.effect.text)
    message = EmailMessage()
    message["Subject"] = f"gwbatch: {' '.join(text.split())[:100]}"
    message["From"] = settings.email_from or f"gwbatch@{socket.getfqdn()}"
    message["To"] = ", ".join(settings.email_to)
    message.set_content(f"{text}\n\nSee: gwbatch status\n")
    host, _, port = settings.smtp.partition(":")
    try:
        with smtplib.SMTP(host, int(port or 25), timeout=PATIENCE) as server:
            server.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        if any(code < PERMANENT for code, _ in error.recipients.values()):
            raise TransientError(f"The mail server {host} has not accepted the message yet.") from error
        raise BadInput(f"The mail server {host} refused all recipients: {', '.join(error.recipients)}.") from error
    except (OSError, smtplib.SMTPException) as error:
        raise TransientError(f"The mail server {settings.smtp} did not accept the message: {error}") from error
    return EffectResult({"to": list(settings.email_to)})


def _text(text: str) -> str:
    return f"[{socket.gethostname()}] {text}"[:LONGEST]
