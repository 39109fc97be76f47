"""The bridge: mails in as events, deliveries out as mails."""

from __future__ import annotations

import imaplib
import logging
import smtplib

from kheish_sidecar import Delivery, Event, Outcome, Refused, Settings, Sidecar, Unavailable, WrongSetting

from . import inbound, outbound
from .mailbox import Mail, Mailbox
from .settings import PASSWORD, MailSettings

BATCH, BATCH_BYTES = 16, 4 << 20
"""Mails that are in memory together."""

log = logging.getLogger(__name__)


class Bridge:
    """A sidecar with a mailbox."""

    def __init__(self, settings: Settings, mail: MailSettings) -> None:
        self.sidecar = Sidecar(settings, self.deliver)
        self._mail = mail
        password = lambda: self.sidecar.credentials.get(PASSWORD)  # noqa: E731
        self._mailbox = Mailbox(mail, password)
        self._postman = outbound.Postman(mail, password)

    def run(self) -> None:
        """Works until it is stopped."""
        self.sidecar.run(self.watch)

    def watch(self) -> None:
        """Looks for mail again and again."""
        pause = self._mail.poll_seconds
        while not self.sidecar.stopping.is_set():
            try:
                self.look()
            except (OSError, imaplib.IMAP4.error) as error:
                self.sidecar.credentials.forget(PASSWORD)
                self.sidecar.report("degraded", f"the mailbox cannot be read: {error}")
                pause = min(pause * 2, max(60.0, self._mail.poll_seconds))
            except (Unavailable, Refused) as error:
                # The mails stay where they are, and the next look finds them again.
                self.sidecar.report("degraded", f"the daemon takes no events: {error}")
            else:
                pause = self._mail.poll_seconds
            self.sidecar.stopping.wait(pause)
        self._mailbox.close()

    def look(self) -> None:
        """Takes in what is new."""
        self._mailbox.look()
        self.sidecar.report("ready")
        batch: list[Mail] = []
        for mail in self._mailbox.new():
            batch.append(mail)
            if len(batch) >= BATCH or sum(len(one.raw) for one in batch) >= BATCH_BYTES:
                self._take(batch)
                batch = []
        self._take(batch)

    def _take(self, mails: list[Mail]) -> None:
        """A mail is settled only when the daemon has it, and no later one before."""
        events: list[Event] = []
        for mail in mails:
            try:
                event = inbound.read(mail.raw, mail.place, self._mail, mail.left_out)
            except Exception as error:
                # One mail that no parser understands must not keep all later ones away.
                log.exception("%s cannot be read", mail.place)
                event = inbound.unreadable(mail.place, error)
            if isinstance(event, inbound.Skipped):
                log.info("%s is left out: %s", mail.place, event.reason)
            else:
                events.append(event)
        for event, result in zip(events, self.sidecar.daemon.post_all(events) if events else [], strict=True):
            log.info("%s %s %s", event["event_id"], result.status, result.reason or "")
            if result.is_lost:
                log.error("%s is lost: %s", event["event_id"], result.reason)
        for mail in mails:
            self._mailbox.settled(mail)

    def deliver(self, delivery: Delivery) -> Outcome:
        """Sends an answer."""
        try:
            route = outbound.read_route(delivery.reply_route)
            if not self._mail.allows(route.to):
                return Outcome.terminal(f"{route.to} is not among EMAIL_ALLOWED")
            files = self._files(delivery)
            mail = outbound.compose(delivery, route, files, self._mail)
        except ValueError as error:
            return Outcome.terminal(str(error))
        except (Unavailable, Refused) as error:
            return Outcome.retryable(f"a file could not be fetched: {error}")
        try:
            return self._postman.send(mail)
        except smtplib.SMTPAuthenticationError:
            self.sidecar.credentials.forget(PASSWORD)
            return Outcome.retryable("the mail server does not take the password")
        except (Unavailable, Refused, WrongSetting) as error:
            return Outcome.retryable(f"there is no password: {error}")

    def _files(self, delivery: Delivery) -> list[bytes]:
        """The files, all of them or none; raises ValueError if they are too large together."""
        room, files = self._mail.mail_bytes, []
        for file in delivery.attachments:
            data = self.sidecar.daemon.download(file, room)
            room -= len(data)
            files.append(data)
        return files
