"""A mail server for tests: as much of IMAP and SMTP as the bridge speaks, in memory, on loopback.

As a program it prints its ports, takes `{"put": "<mail in base64>"}`, `{"validity": 7}` and `{"answer": "452 full"}` line by
line, and prints `{"sent": "<mail in base64>"}` for each mail that it was given by SMTP.
"""

from __future__ import annotations

import base64
import json
import re
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

USER, PASSWORD = "bot@example.org", "pass word"


@dataclass
class MailServer:
    """A mailbox and an outbox."""

    validity: int = 1
    mails: dict[int, tuple[float, bytes]] = field(default_factory=dict)
    """By UID: when it came, and the mail."""
    sent: list[tuple[str, bytes]] = field(default_factory=list)
    """To whom, and the mail."""
    commands: list[str] = field(default_factory=list)
    answer: str = "250 taken"
    """What SMTP says to a mail; empty hangs up. Only with 2xx the mail is there."""
    rcpt: str = "250 fine"
    on_sent: Callable[[bytes], None] = lambda mail: None
    _next: int = 1

    def __post_init__(self) -> None:
        self.imap = _listen(_Imap, self)
        self.smtp = _listen(_Smtp, self)

    def put(self, mail: bytes, came: float | None = None) -> int:
        """A mail comes in."""
        uid, self._next = self._next, self._next + 1
        self.mails[uid] = (time.time() if came is None else came, mail)
        return uid

    def renumber(self, validity: int, first: int = 1) -> None:
        """The server has lost its numbers: UIDs mean something else from now on."""
        mails = [self.mails[uid] for uid in sorted(self.mails)]
        self.validity, self.mails = validity, dict(enumerate(mails, first))
        self._next = first + len(mails)

    def close(self) -> None:
        """Ends both."""
        for server in (self.imap, self.smtp):
            server.shutdown()
            server.server_close()


class _Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    mail: MailServer


def _listen(handler: type[socketserver.BaseRequestHandler], mail: MailServer) -> _Listener:
    server = _Listener(("127.0.0.1", 0), handler)
    server.mail = mail
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


class _Imap(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        self.say("* OK ready")
        while line := self.rfile.readline():
            tag, _, rest = line.decode().strip().partition(" ")
            self.server.mail.commands.append(rest)  # type: ignore[attr-defined]
            words = rest.split(" ", 2)
            verb = words[0].upper()
            if verb == "UID":
                verb, rest = words[1].upper(), words[2]
            verbs: dict[str, Callable[[str], str]] = {
                "CAPABILITY": self.capability,
                "LOGIN": self.login,
                "EXAMINE": self.examine,
                "SEARCH": self.search,
                "FETCH": self.fetch,
            }
            self.say(f"{tag} {verbs[verb](rest) if verb in verbs else 'OK done'}")
            if verb == "LOGOUT":
                return

    @property
    def mail(self) -> MailServer:
        return self.server.mail  # type: ignore[attr-defined, no-any-return]

    def say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")

    def capability(self, _: str) -> str:
        self.say("* CAPABILITY IMAP4rev1")
        return "OK done"

    def login(self, rest: str) -> str:
        is_good = rest in (f'LOGIN {USER} "{PASSWORD}"', f'LOGIN "{USER}" "{PASSWORD}"')
        return "OK welcome" if is_good else "NO [AUTHENTICATIONFAILED] who are you"

    def examine(self, rest: str) -> str:
        if '"INBOX"' not in rest:
            return "NO there is no such folder"
        self.say(f"* {len(self.mail.mails)} EXISTS")
        self.say(f"* OK [UIDVALIDITY {self.mail.validity}] of UIDs")
        return "OK [READ-ONLY] open"

    def search(self, rest: str) -> str:
        uids = sorted(self.mail.mails)
        words = rest.split()
        if words[0] == "UID":
            first = int(words[1].partition(":")[0])
            # As the standard says: the last one is always among them.
            found = [uid for uid in uids if uid >= first] or uids[-1:]
        else:
            since = time.mktime(time.strptime(words[1], "%d-%b-%Y"))
            found = [uid for uid in uids if self.mail.mails[uid][0] >= since]
        self.say(" ".join(["* SEARCH", *map(str, found)]))
        return "OK done"

    def fetch(self, rest: str) -> str:
        uid = int(rest.split()[0])
        if uid not in self.mail.mails:
            return "OK there is none"
        raw = self.mail.mails[uid][1]
        if "RFC822.SIZE" in rest:
            self.say(f"* 1 FETCH (UID {uid} RFC822.SIZE {len(raw)})")
            return "OK done"
        part = "HEADER" if "HEADER" in rest else ""
        data = raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if part else raw
        self.say(f"* 1 FETCH (UID {uid} BODY[{part}] {{{len(data)}}}")
        self.wfile.write(data)
        self.say(")")
        return "OK done"


class _Smtp(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        mail: MailServer = self.server.mail  # type: ignore[attr-defined]
        self.say("220 ready")
        to, is_known = "", False
        while line := self.rfile.readline().decode().strip():
            verb = line.split()[0].upper()
            if verb == "EHLO":
                self.say("250-here\r\n250 AUTH PLAIN")
            elif verb == "AUTH":
                expected = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
                is_known = line.split()[-1] == expected
                self.say("235 welcome" if is_known else "535 who are you")
            elif verb == "RCPT":
                to = re.sub(r".*<(.*)>.*", r"\1", line)
                self.say(mail.rcpt if is_known else "530 who are you")
            elif verb == "DATA":
                self.say("354 go on")
                data = self.data()
                if not mail.answer:
                    return
                if mail.answer.startswith("2"):
                    mail.sent.append((to, data))
                    mail.on_sent(data)
                self.say(mail.answer)
            elif verb == "QUIT":
                return self.say("221 bye")
            else:
                self.say("250 fine")

    def say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")

    def data(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)


def main() -> None:
    """The program."""
    server = MailServer()

    def tell(said: dict[str, Any]) -> None:
        print(json.dumps(said), flush=True)

    server.on_sent = lambda mail: tell({"sent": base64.b64encode(mail).decode()})
    tell({"imap": server.imap.server_address[1], "smtp": server.smtp.server_address[1]})
    for line in sys.stdin:
        command = json.loads(line)
        if "put" in command:
            server.put(base64.b64decode(command["put"]))
        if "validity" in command:
            server.renumber(command["validity"])
        server.answer = command.get("answer", server.answer)


if __name__ == "__main__":
    main()
