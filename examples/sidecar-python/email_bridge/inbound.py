"""A mail becomes an event. Pure: the same mail is always the same event, so the daemon knows one that it has seen."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC
from email import policy
from email.errors import InvalidHeaderDefect
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from typing import Any

from kheish_sidecar import Event, Item, inline_file

from . import names
from .settings import MailSettings

TEXT_CHARS = 100_000
FILES = 10
FILE_BYTES = 1 << 20
FILES_BYTES = 1 << 20
"""Of all files of a mail: one request carries them."""

_SPACES = re.compile(r"\s+")


@dataclass(frozen=True)
class Skipped:
    """Why a mail becomes no event."""

    reason: str


def read(raw: bytes, place: str, settings: MailSettings, left_out: int = 0) -> Event | Skipped:
    """Reads a mail. `place` is its id in the mailbox, and `left_out` its size if only its head was fetched."""
    mail = BytesParser(policy=policy.default.clone(max_line_length=None)).parsebytes(raw)
    assert isinstance(mail, EmailMessage)
    name, sender = _address(mail, "from")
    reason = _why_not(mail, sender, settings)
    if reason:
        return Skipped(reason)
    own_id = next(iter(names.ids(_header(mail, "message-id"))), "")
    references, answered = names.ids(_header(mail, "references")), names.ids(_header(mail, "in-reply-to"))
    thread = names.conversation(own_id or place, references, answered, settings.domain)
    sent_at, subject = _date(mail), _header(mail, "subject")[:300]
    text, files, notes = ("", [], []) if left_out else _content(mail)
    if left_out:
        notes = [f"[The mail has {left_out} bytes: its text and its files are left out.]"]
    if subject and not references and not answered:
        text = f"{subject}\n\n{text}".rstrip()
    content = "\n\n".join(filter(None, [text, *notes])) or subject or "[An empty mail.]"
    _, reply_to = _address(mail, "reply-to")
    route = {
        "to": reply_to if reply_to and settings.allows(reply_to) else sender,
        "subject": subject,
        "thread": thread,
        "references": names.shortened([*references, *(answered if not references else []), *filter(None, [own_id])]),
    }
    event: Event = {
        # Some senders use an id again for another mail; not in the same second.
        "event_id": f"{own_id} {sent_at or 0}" if own_id else place,
        "actor_id": sender,
        "source_kind": "email",
        "thread": {"path": [sender, thread]},
        "content": content,
        "reply_route": json.dumps(route),
        "metadata": _metadata(mail, name, own_id, subject),
    }
    if files:
        event["attachments"] = files
    if sent_at is not None:
        event["occurred_at_ms"] = sent_at * 1000
    return event


def unreadable(place: str, error: Exception) -> Event:
    """What is said of a mail that could not be read."""
    return {
        "event_id": place,
        "source_kind": "email",
        "routing_key": "unreadable",
        "content": f"[A mail could not be read: {type(error).__name__}. It is {place} in the mailbox.]",
    }


def _why_not(mail: EmailMessage, sender: str, settings: MailSettings) -> str:
    """Machines are not answered: they may answer in turn."""
    if sender == settings.address:
        return "it is the bridge's own"
    if _header(mail, "auto-submitted").lower().split(";")[0].strip() not in ("", "no"):
        return "a machine sent it (Auto-Submitted)"
    if _header(mail, "precedence").lower() in ("bulk", "junk", "list"):
        return "it went to many (Precedence)"
    if _header(mail, "return-path") == "<>":
        return "it is a bounce"
    if not settings.allows(sender):
        return f"{sender or 'its sender'} is not among EMAIL_ALLOWED"
    return ""


def _content(mail: EmailMessage) -> tuple[str, list[Item], list[str]]:
    """The text, the files, and what has to be said of files that are left out."""
    body = mail.get_body(("plain", "html"))
    text = ""
    if body is not None:
        text = _text(body)
        text = _plain(text) if body.get_content_type() == "text/html" else text
    text = text.replace("\r\n", "\n").replace("\0", "").strip()
    files: list[Item] = []
    notes: list[str] = []
    if len(text) > TEXT_CHARS:
        notes.append(f"[The mail's text has {len(text)} characters: the rest is left out.]")
        text = text[:TEXT_CHARS]
    room = FILES_BYTES
    for part in _files(mail, body):
        data, file_name = _bytes(part), part.get_filename() or "file"
        if len(files) >= FILES or len(data) > min(FILE_BYTES, room):
            notes.append(
                f"[The file {file_name!r} of {len(data)} bytes is left out: it is too large, or one too many.]"
            )
            continue
        room -= len(data)
        files.append(inline_file(file_name, part.get_content_type(), data))
    return text, files, notes


def _files(mail: EmailMessage, body: Any) -> list[EmailMessage]:
    """All that is not the text, nor another form of it."""
    found = []
    for part in mail.walk():
        is_file = part.get_content_disposition() == "attachment" or part.get_filename()
        if part is not body and not part.is_multipart() and (is_file or part.get_content_maintype() != "text"):
            found.append(part)
    return found


def _text(part: Any) -> str:
    try:
        return str(part.get_content())
    except (LookupError, ValueError, KeyError):
        # A charset that nobody knows.
        return _bytes(part).decode("utf-8", "replace")


def _bytes(part: Any) -> bytes:
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""


class _Words(HTMLParser):
    """The text of HTML."""

    BREAKS = frozenset(["p", "br", "div", "tr", "li", "h1", "h2", "h3", "blockquote"])
    SILENT = frozenset(["script", "style", "head", "title"])

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._silent += tag in self.SILENT
        if tag in self.BREAKS:
            self.words.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._silent = max(0, self._silent - (tag in self.SILENT))

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words.append(_SPACES.sub(" ", data))


def _plain(html: str) -> str:
    words = _Words()
    words.feed(html)
    words.close()
    lines = (line.strip() for line in "".join(words.words).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def _header(mail: EmailMessage, name: str) -> str:
    """A header in one line. One that is not of the standard's form is taken as it stands."""
    try:
        value = str(mail.get(name, ""))
    except Exception:
        value = next((str(raw) for known, raw in mail.raw_items() if known.lower() == name), "")
    return _SPACES.sub(" ", value.encode("utf-8", "replace").decode()).strip()


def _address(mail: EmailMessage, header: str) -> tuple[str, str]:
    """A header's name and address. None if there are several, or odd signs: the mail server may have checked another one."""
    try:
        (one,) = mail.get_all(header, [])
        (address,) = one.addresses
        if any(isinstance(defect, InvalidHeaderDefect) for defect in one.defects):
            return "", ""
        return str(address.display_name), str(address.addr_spec).lower()
    except Exception:
        return "", ""


def _date(mail: EmailMessage) -> int | None:
    try:
        date = parsedate_to_datetime(_header(mail, "date"))
        return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
    except (TypeError, ValueError, OverflowError):
        return None


def _metadata(mail: EmailMessage, name: str, own_id: str, subject: str) -> dict[str, Any]:
    told = {
        "message_id": own_id,
        "subject": subject,
        "from_name": name[:200],
        "to": _header(mail, "to")[:1000],
        "cc": _header(mail, "cc")[:1000],
    }
    return {member: value for member, value in told.items() if value}
