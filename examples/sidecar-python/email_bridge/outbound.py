"""A delivery becomes a mail, and goes out by SMTP."""

from __future__ import annotations

import contextlib
import json
import re
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.utils import formatdate

from kheish_sidecar import Delivery, Outcome

from . import names
from .settings import MailSettings

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")
_THREAD = re.compile(r"[0-9a-f]{32}")
_BREAKS = re.compile(r"[\x00-\x1f\x7f]+")


@dataclass(frozen=True)
class Route:
    """Where an answer goes."""

    to: str
    subject: str
    thread: str
    references: tuple[str, ...]


def read_route(written: str) -> Route:
    """Reads a reply route: one of the bridge's own, or an address alone. Raises ValueError."""
    try:
        route = json.loads(written) if written.startswith("{") else {"to": written}
        references = tuple(found for text in route.get("references", []) for found in names.ids(text))
        to, thread = str(route["to"]), str(route.get("thread") or names.digest(written))
        subject = _BREAKS.sub(" ", str(route.get("subject") or "")).strip()[:300]
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"this is no route of the bridge: {error!r}") from error
    if not _ADDRESS.fullmatch(to) or not _THREAD.fullmatch(thread):
        raise ValueError("the route names no plain address")
    return Route(to, subject, thread, references)


def compose(delivery: Delivery, route: Route, files: list[bytes], settings: MailSettings) -> EmailMessage:
    """The mail."""
    mail = EmailMessage(policy=policy.SMTP)
    subject = route.subject or "A message"
    is_answer = bool(route.references) and not subject.lower().startswith("re:")
    mail["From"], mail["To"] = settings.address, route.to
    mail["Subject"] = f"Re: {subject}" if is_answer else subject
    mail["Date"] = formatdate()
    mail["Message-ID"] = names.outgoing_id(delivery.key, route.thread, settings.domain)
    mail["Auto-Submitted"] = "auto-replied"
    if route.references:
        mail["In-Reply-To"] = route.references[-1]
        mail["References"] = " ".join(route.references)
    mail.set_content(delivery.text or "\n")
    for file, data in zip(delivery.attachments, files, strict=True):
        kind, _, form = file.media_type.partition(";")[0].strip().partition("/")
        name = _BREAKS.sub(" ", file.file_name)
        mail.add_attachment(data, maintype=kind, subtype=form or "octet-stream", filename=name)
    return mail


class Postman:
    """Sends mails, over a connection each."""

    def __init__(self, settings: MailSettings, password: Callable[[], str]) -> None:
        self._settings = settings
        self._password = password

    def send(self, mail: EmailMessage) -> Outcome:
        """Sends one. Until the server has the text, nothing has left; after it, only the server's word counts."""
        try:
            smtp = self._connect()
        except smtplib.SMTPAuthenticationError:
            raise
        except (OSError, smtplib.SMTPException) as error:
            return Outcome.retryable(f"the mail server cannot be used: {error}")
        with contextlib.closing(smtp):
            try:
                for said in (smtp.mail(self._settings.address), smtp.rcpt(str(mail["To"]))):
                    if said[0] >= 400:
                        return _refusal(said[0], said[1])
            except (OSError, smtplib.SMTPException) as error:
                return Outcome.retryable(f"the mail server went away: {error}")
            try:
                code, text = smtp.data(mail.as_bytes())
            except smtplib.SMTPDataError as error:
                return _refusal(error.smtp_code, error.smtp_error)
            except (OSError, smtplib.SMTPException) as error:
                return Outcome.unknown(f"the mail left, and the server did not answer: {error}")
            if code >= 400:
                return _refusal(code, text)
            with contextlib.suppress(OSError, smtplib.SMTPException):
                smtp.quit()
            return Outcome.committed(str(mail["Message-ID"]))

    def _connect(self) -> smtplib.SMTP:
        server, timeout = self._settings.smtp, self._settings.timeout
        context = ssl.create_default_context()
        if server.security == "tls":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=timeout, context=context)
        else:
            smtp = smtplib.SMTP(server.host, server.port, timeout=timeout)
        try:
            if server.security == "starttls":
                smtp.starttls(context=context)
            smtp.login(self._settings.user, self._password())
        except BaseException:
            smtp.close()
            raise
        return smtp


def _refusal(code: int, text: bytes | str) -> Outcome:
    said = f"{code} {text.decode(errors='replace') if isinstance(text, bytes) else text}"
    return Outcome.retryable(said) if code < 500 else Outcome.terminal(said)
