"""A mailbox, read by IMAP and never changed.

What has been taken is not noted anywhere: after a start the mails of the last days are read again, and the daemon's
receipts tell which of them it has. UIDs only say what is new since the last look, and mean nothing once UIDVALIDITY is
another one.
"""

from __future__ import annotations

import contextlib
import imaplib
import re
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .settings import MailSettings

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_SIZE = re.compile(rb"RFC822\.SIZE (\d+)")


@dataclass(frozen=True)
class Mail:
    """A mail as the server has it."""

    uid: int
    place: str
    """Folder, UIDVALIDITY and UID."""
    raw: bytes
    left_out: int = 0
    """Its size, if it is too large and this is only its head."""


class Mailbox:
    """One connection, made again after each failure."""

    def __init__(self, settings: MailSettings, password: Callable[[], str]) -> None:
        self._settings = settings
        self._password = password
        self._imap: imaplib.IMAP4 | None = None
        self._validity = 0
        self._last = 0

    def look(self) -> None:
        """Opens the folder anew: this shows new mail, and whether UIDs still mean what they meant."""
        folder = self._settings.folder.replace("\\", "\\\\").replace('"', '\\"')
        with self._closing_after_failure():
            imap = self._imap = self._imap or self._connect()
            _good(imap.select(f'"{folder}"', readonly=True))
            validity = int((imap.response("UIDVALIDITY")[1] or [None])[0] or 0)
        if validity != self._validity:
            self._validity, self._last = validity, 0

    def new(self) -> Iterator[Mail]:
        """What is new since the last one that was settled, in the order of UIDs. Look first."""
        with self._closing_after_failure():
            assert self._imap is not None
            for uid in self._uids(self._imap):
                mail = self._fetch(self._imap, uid)
                if mail is not None:
                    yield mail

    def settled(self, mail: Mail) -> None:
        """The daemon has it, or it is not for the daemon."""
        self._last = max(self._last, mail.uid)

    def close(self) -> None:
        """Ends the connection."""
        imap, self._imap = self._imap, None
        if imap is not None:
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                imap.logout()

    def _connect(self) -> imaplib.IMAP4:
        server, timeout = self._settings.imap, self._settings.timeout
        context = ssl.create_default_context()
        if server.security == "tls":
            imap: imaplib.IMAP4 = imaplib.IMAP4_SSL(server.host, server.port, ssl_context=context, timeout=timeout)
        else:
            imap = imaplib.IMAP4(server.host, server.port, timeout=timeout)
        try:
            if server.security == "starttls":
                imap.starttls(context)
            imap.login(self._settings.user, self._password())
        except BaseException:
            imap.shutdown()
            raise
        return imap

    @contextlib.contextmanager
    def _closing_after_failure(self) -> Iterator[None]:
        try:
            yield
        except (OSError, imaplib.IMAP4.error):
            self.close()
            raise

    def _uids(self, imap: imaplib.IMAP4) -> list[int]:
        if self._last:
            criteria = ["UID", f"{self._last + 1}:*"]
        else:
            since = time.gmtime(time.time() - self._settings.since_days * 86_400)
            criteria = ["SINCE", f"{since.tm_mday}-{MONTHS[since.tm_mon - 1]}-{since.tm_year}"]
        found = b" ".join(line for line in _good(imap.uid("SEARCH", *criteria)) if isinstance(line, bytes))
        # `n:*` always names the last mail, also one below n.
        return sorted(uid for uid in map(int, found.split()) if uid > self._last)

    def _fetch(self, imap: imaplib.IMAP4, uid: int) -> Mail | None:
        """None of a mail that has been removed meanwhile."""
        said = b" ".join(
            line for line in _good(imap.uid("FETCH", str(uid), "(RFC822.SIZE)")) if isinstance(line, bytes)
        )
        size = _SIZE.search(said)
        if size is None:
            return None
        is_large = int(size[1]) > self._settings.mail_bytes
        got = _good(imap.uid("FETCH", str(uid), f"(BODY.PEEK[{'HEADER' if is_large else ''}])"))
        raw = next((part[1] for part in got if isinstance(part, tuple)), None)
        if raw is None:
            return None
        place = f"{self._settings.folder}/{self._validity}/{uid}"
        return Mail(uid, place, raw, int(size[1]) if is_large else 0)


def _good(answer: tuple[str, list[bytes | None]] | tuple[str, list[object]]) -> list[object]:
    status, data = answer
    if status != "OK":
        raise imaplib.IMAP4.error(f"the mail server answered {status}: {data!r:.200}")
    return list(data)
