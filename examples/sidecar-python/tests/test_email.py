"""The bridge: what mails become, and the way there and back through a mail server and a stub of the daemon."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
import unittest
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from unittest import mock

from email_bridge import inbound, names, outbound
from email_bridge.bridge import Bridge
from email_bridge.settings import MailSettings
from kheish_sidecar import Attachment, Delivery, Unavailable, WrongSetting
from tests import mail_server
from tests.daemon import CREDENTIAL_TOKEN, Daemon, eventually

ENV = {
    "EMAIL_ADDRESS": mail_server.USER,
    "EMAIL_ALLOWED": "ann@example.net, @friends.example",
    "EMAIL_IMAP_URL": "imap://127.0.0.1:1",
    "EMAIL_SMTP_URL": "smtp://127.0.0.1:1",
    "EMAIL_POLL_SECONDS": "0.02",
}
SETTINGS = MailSettings.from_env(ENV)


def mail(text: str = "hello", **headers: str) -> bytes:
    """A mail of Ann's. A header `in_reply_to` is `In-Reply-To`."""
    message = EmailMessage(policy=policy.SMTP)
    given = {"From": "Ann <Ann@example.net>", "Message-ID": "<1@ann>", "Date": "Tue, 01 Sep 2026 10:00:00 +0200"}
    for name, value in {
        **given,
        "Subject": "A question",
        **{n.replace("_", "-"): v for n, v in headers.items()},
    }.items():
        del message[name]
        if value:
            message[name] = value
    message.set_content(text)
    return message.as_bytes()


def read(raw: bytes, **more: Any) -> Any:
    return inbound.read(raw, "INBOX/1/7", SETTINGS, **more)


class Inbound(unittest.TestCase):
    def test_a_mail_is_always_the_same_event(self) -> None:
        event = read(mail())
        self.assertEqual(event, inbound.read(mail(), "INBOX/2/1", SETTINGS), "wherever it lies in the mailbox")
        self.assertEqual(event["event_id"], "<1@ann> 1788249600")
        self.assertEqual((event["actor_id"], event["content"]), ("ann@example.net", "A question\n\nhello"))
        self.assertEqual(event["thread"]["path"], ["ann@example.net", names.digest("<1@ann>")])
        self.assertEqual(read(mail(Message_ID="", Date=""))["event_id"], "INBOX/1/7")
        self.assertNotEqual(read(mail(Date="Tue, 01 Sep 2026 10:00:01 +0200"))["event_id"], event["event_id"])

    def test_a_conversation_is_that_of_the_first_mail_and_of_the_bridge_s_own(self) -> None:
        def thread(**headers: str) -> str:
            return str(read(mail(**headers))["thread"]["path"][1])

        first = names.digest("<1@ann>")
        self.assertEqual(
            thread(Message_ID="<9@ann>", References="<1@ann> <2@bot> <3@ann>", In_Reply_To="<3@ann>"), first
        )
        self.assertEqual(thread(Message_ID="<9@ann>", In_Reply_To="<1@ann>"), first)
        own = names.outgoing_id("kheish:d", first, "example.org")
        self.assertEqual(thread(Message_ID="<9@ann>", In_Reply_To=own), first, "though it names no other mail")
        foreign = own.replace("@example.org", "@example.com")
        self.assertEqual(thread(Message_ID="<9@ann>", In_Reply_To=foreign), names.digest(foreign))

    def test_machines_and_strangers_are_left_out(self) -> None:
        for headers in [
            {"From": "eve@example.net"}, {"From": ""}, {"From": "ann@example.net, eve@example.net"},
            {"From": "ann@example.net.evil.example"}, {"From": "Bot <BOT@example.org>"},
            {"Auto_Submitted": "auto-replied; x"}, {"Precedence": "bulk"}, {"Return_Path": "<>"},
        ]:  # fmt: skip
            self.assertIsInstance(read(mail(**headers)), inbound.Skipped, str(headers))
        everybody = MailSettings.from_env(ENV | {"EMAIL_ALLOWED": "*"})
        for sender, kind in [(mail_server.USER, inbound.Skipped), ("eve@example.net", dict)]:
            self.assertIsInstance(inbound.read(mail(From=sender), "INBOX/1/7", everybody), kind, sender)
        self.assertIsInstance(read(b"From: eve@example.net\r\n" + mail()), inbound.Skipped, "two senders")
        for sender in ["ann@example.net(<eve@evil.example>", "ann@example.net)eve@evil.example", "<ann@example.net"]:
            self.assertIsInstance(read(f"From: {sender}\r\n\r\nx".encode()), inbound.Skipped, sender)
        for sender in ["\u00c4nn <ann@example.net>", "Ann D. <ann@example.net>", '"Ann, D" <ANN@example.net>']:
            self.assertEqual(read(f"From: {sender}\r\n\r\nx".encode())["actor_id"], "ann@example.net", sender)
        for headers in [{"From": "bob@friends.example"}, {"Auto_Submitted": "no"}]:
            self.assertIsInstance(read(mail(**headers)), dict, str(headers))

    def test_answers_go_to_people_who_may_be_written_to(self) -> None:
        for reply_to, to in [("bob@friends.example", "bob@friends.example"), ("eve@evil.example", "ann@example.net")]:
            self.assertEqual(json.loads(read(mail(Reply_To=reply_to))["reply_route"])["to"], to)

    def test_files_come_along_and_those_that_do_not_are_named(self) -> None:
        message = message_from_bytes(mail(), policy=policy.SMTP)
        assert isinstance(message, EmailMessage)
        message.add_alternative("<p>hello</p>", subtype="html")
        message.make_mixed()
        message.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="a\u00fc.png")
        message.add_attachment(b"x" * (2 << 20), maintype="application", subtype="pdf", filename="large.pdf")
        for number in range(12):
            message.add_attachment(b"x", maintype="text", subtype="plain", filename=f"{number}.txt")
        event = read(message.as_bytes())
        self.assertEqual(len(event["attachments"]), 10)
        first = event["attachments"][0]
        self.assertEqual((first["file_name"], first["media_type"]), ("a\u00fc.png", "image/png"))
        self.assertEqual(base64.b64decode(first["content_base64"]), b"\x89PNG")
        self.assertTrue(event["content"].startswith("A question\n\nhello\n\n"), event["content"])
        for name in ("large.pdf", "9.txt", "11.txt"):
            self.assertIn(name, event["content"])

    def test_text_is_found_in_html_and_in_odd_charsets(self) -> None:
        html = b"<html><head><title>t</title><style>x</style></head><body><p>One &amp; two</p><p>three<br>four</p></body></html>"
        head = b"From: ann@example.net\r\nMessage-ID: <1@ann>\r\nIn-Reply-To: <0@ann>\r\nContent-Type: text/"
        self.assertEqual(read(head + b"html\r\n\r\n" + html)["content"], "One & two\nthree\nfour")
        self.assertEqual(read(head + b"plain; charset=x-none\r\n\r\ngr\xc3\xbcn")["content"], "gr\u00fcn")
        event = read(head + b"plain; charset=utf-8\r\nSubject: \xff\xfe\r\n\r\n\xff\0")
        json.dumps(event, ensure_ascii=False).encode()
        self.assertEqual(read(head + b"plain\r\n\r\n")["content"], "[An empty mail.]")

    def test_a_mail_that_is_too_large_is_told_of(self) -> None:
        event = read(mail(), left_out=99)
        self.assertIn("99 bytes", event["content"])
        self.assertNotIn("hello", event["content"])


class Outbound(unittest.TestCase):
    def test_an_answer_belongs_to_its_conversation(self) -> None:
        route = outbound.read_route(read(mail())["reply_route"])
        delivery = Delivery("kheish:d", "d", 1, "", "gr\u00fcn \u2713\n.\nend")
        answer = outbound.compose(delivery, route, [], SETTINGS)
        again = outbound.compose(delivery, route, [], SETTINGS)
        self.assertEqual(answer["Message-ID"], again["Message-ID"], "sent twice it is the same mail")
        got = message_from_bytes(answer.as_bytes(), policy=policy.default)
        told = [got[name] for name in ("To", "From", "Subject", "In-Reply-To", "References", "Auto-Submitted")]
        self.assertEqual(
            told, ["ann@example.net", mail_server.USER, "Re: A question", "<1@ann>", "<1@ann>", "auto-replied"]
        )
        self.assertEqual(got.get_payload(decode=True), "gr\u00fcn \u2713\r\n.\r\nend\r\n".encode())

    def test_routes_carry_no_headers_of_their_own(self) -> None:
        for written in [
            "",
            "nobody",
            "a@b\r\nBcc: c@d",
            '{"to":"a@b","references":7}',
            '{"to":"a@b","thread":"x"}',
            "{",
            "[]",
        ]:
            with self.assertRaises(ValueError, msg=written):
                outbound.read_route(written)
        route = outbound.read_route(
            '{"to":"ann@example.net","subject":"a\\r\\nBcc: c@d","references":["<1@a> x","\\n"]}'
        )
        got = outbound.compose(Delivery("k", "d", 1, "", "x"), route, [], SETTINGS)
        self.assertEqual((got["Bcc"], got["References"]), (None, "<1@a>"))
        self.assertEqual(outbound.read_route("ann@example.net").references, ())

    def test_long_conversations_keep_their_first_mail(self) -> None:
        long = names.shortened([f"<{number}@a>" for number in range(100)])
        self.assertEqual((len(long), long[0], long[-1]), (names.REFERENCES, "<0@a>", "<99@a>"))

    def test_settings_name_what_is_wrong(self) -> None:
        for change in [
            {"EMAIL_ALLOWED": ""}, {"EMAIL_ADDRESS": "bot"}, {"EMAIL_IMAP_URL": "http://x"}, {"EMAIL_POLL_SECONDS": "-1"},
        ]:  # fmt: skip
            with self.assertRaisesRegex(WrongSetting, next(iter(change)) if "URL" not in str(change) else "imaps://"):
                MailSettings.from_env(ENV | change)
        securities = [("imaps://m", "tls", 993), ("imap://m", "starttls", 143), ("imap://127.0.0.1", "none", 143)]
        for url, security, port in securities:
            server = MailSettings.from_env(ENV | {"EMAIL_IMAP_URL": url}).imap
            self.assertEqual((server.security, server.port), (security, port))


class Whole(unittest.TestCase):
    def setUp(self) -> None:
        self.stub, self.mail = Daemon(), mail_server.MailServer()
        self.stub.secrets = {"EMAIL_PASSWORD": mail_server.PASSWORD}
        self.addCleanup(self.stub.close)
        self.addCleanup(self.mail.close)

    def bridge(self) -> Bridge:
        """A bridge that has just started; it looks when it is told to."""
        ports = {"EMAIL_IMAP_URL": self.mail.imap, "EMAIL_SMTP_URL": self.mail.smtp}
        urls = {name: f"{name[6:10].lower()}://127.0.0.1:{server.server_address[1]}" for name, server in ports.items()}
        settings = self.stub.settings(credential_token=CREDENTIAL_TOKEN, credential_keys=frozenset(["EMAIL_PASSWORD"]))
        bridge = Bridge(settings, MailSettings.from_env(ENV | urls))
        bridge.sidecar.start()
        self.addCleanup(bridge.sidecar.stop)
        self.addCleanup(bridge._mailbox.close)
        return bridge

    def ids(self) -> list[str]:
        return [event["event_id"].split()[0] for event in self.stub.events]

    def put(self, number: int, **headers: str) -> None:
        self.mail.put(mail(Message_ID=f"<{number}@ann>", **headers))

    def test_mails_come_once_whatever_ends_in_between(self) -> None:
        bridge = self.bridge()
        bridge.look()
        for number in range(40):
            self.put(number)
        self.stub.failures = [503, "drop"]
        bridge.look()
        everything = [f"<{number}@ann>" for number in range(40)]
        self.assertEqual(self.ids(), everything)
        before = len(self.stub.requests)
        bridge.look()
        self.assertEqual(len(self.stub.requests), before, "nothing is new")
        self.put(40)
        bridge.look()
        self.assertEqual(self.ids()[40:], ["<40@ann>"])
        self.bridge().look()
        self.assertEqual(len(self.ids()), 41, "after a start all are read again, and the daemon knows them")
        self.assertTrue(
            all("PEEK" in line or "BODY" not in line for line in self.mail.commands), "nothing is marked as read"
        )

    def test_uids_mean_nothing_once_uidvalidity_is_another_one(self) -> None:
        bridge = self.bridge()
        for number in range(5):
            self.put(number)
        bridge.look()
        del self.mail.mails[1]
        self.put(5)
        self.mail.renumber(2)
        bridge.look()
        self.assertEqual(self.ids(), [f"<{number}@ann>" for number in range(6)])

    def test_a_daemon_that_is_away_loses_nothing(self) -> None:
        bridge = self.bridge()
        self.put(1)
        bridge.sidecar.stopping.set()
        self.stub.failures = [503] * 3
        with self.assertRaises(Unavailable):
            bridge.look()
        bridge.sidecar.stopping.clear()
        self.stub.failures = []
        self.put(2)
        bridge.look()
        self.assertEqual(self.ids(), ["<1@ann>", "<2@ann>"])

    def test_one_odd_mail_keeps_no_other_away(self) -> None:
        bridge = self.bridge()
        self.mail.put(b"")
        self.mail.put(b'From: ann@example.net\r\nContent-Type: multipart/mixed; boundary="\r\nDate: x\r\n\r\n--')
        self.mail.put(mail(text="poison", Message_ID="<p@ann>", Subject="", In_Reply_To="<1@ann>"))
        self.mail.put(mail(text="no parser understands this"))
        self.put(2)

        def fragile(raw: bytes, *more: Any) -> Any:
            if b"no parser" in raw:
                raise RecursionError
            return understood(raw, *more)

        understood = inbound.read
        with self.assertLogs("email_bridge", level="ERROR") as logs, mock.patch.object(inbound, "read", fragile):
            bridge.look()
        self.assertIn("<2@ann>", self.ids())
        self.assertIn("lost", str(logs.output), "what the daemon rejects is said aloud")
        self.assertIn("could not be read", self.stub.events[-2]["content"])

    def test_old_mail_stays_where_it_is(self) -> None:
        self.mail.put(mail(Message_ID="<old@ann>"), came=time.time() - 10 * 86_400)
        self.put(1)
        self.bridge().look()
        self.assertEqual(self.ids(), ["<1@ann>"])

    def deliver(self, bridge: Bridge, key: str = "kheish:d", **more: Any) -> Any:
        route = read(mail())["reply_route"]
        return bridge.deliver(Delivery(key, "d", 1, route, "an answer", **more))

    def test_an_answer_goes_out_with_its_files(self) -> None:
        bridge, data = self.bridge(), b"%PDF"
        self.stub.files = {"raw": data}
        file = Attachment("a", "application/pdf", "a\u00fc.pdf", "/v1/d/raw", hashlib.sha256(data).hexdigest(), 4)
        self.assertEqual(self.deliver(bridge, attachments=(file,)).status, "committed")
        to, raw = self.mail.sent[0]
        got = message_from_bytes(raw, policy=policy.default)
        assert isinstance(got, EmailMessage)
        (part,) = got.iter_attachments()
        self.assertEqual(
            (to, part.get_filename(), part.get_payload(decode=True)), ("ann@example.net", "a\u00fc.pdf", data)
        )

    def test_what_the_mail_server_says_is_what_the_daemon_hears(self) -> None:
        bridge = self.bridge()
        stranger = Delivery("k", "d", 1, "eve@evil.example", "x")
        self.assertEqual(bridge.deliver(stranger).status, "terminal_error")
        for answer, status in [
            ("250 taken", "committed"), ("452 full", "retryable_error"), ("554 spam", "terminal_error"), ("", "unknown"),
        ]:  # fmt: skip
            self.mail.answer = answer
            self.assertEqual(self.deliver(bridge).status, status, answer)
        self.mail.rcpt, self.mail.answer = "550 who", "250 taken"
        self.assertEqual(self.deliver(bridge).status, "terminal_error")
        self.assertEqual(len(self.mail.sent), 1)
        self.mail.close()
        self.assertEqual(self.deliver(bridge).status, "retryable_error")

    def test_a_rotated_password_is_fetched(self) -> None:
        bridge = self.bridge()
        self.stub.secrets["EMAIL_PASSWORD"] = "old"
        self.assertEqual(self.deliver(bridge).status, "retryable_error")
        self.stub.secrets["EMAIL_PASSWORD"] = mail_server.PASSWORD
        self.assertEqual(self.deliver(bridge).status, "committed")

    def test_health_follows_the_mailbox(self) -> None:
        self.stub.secrets["EMAIL_PASSWORD"] = "old"
        bridge = self.bridge()
        watcher = threading.Thread(target=bridge.watch, daemon=True)
        watcher.start()
        eventually("it is degraded", lambda: bridge.sidecar.health()["status"] == "degraded")
        self.assertIn("AUTHENTICATIONFAILED", bridge.sidecar.health()["detail"])
        self.stub.secrets["EMAIL_PASSWORD"] = mail_server.PASSWORD
        self.put(1)
        eventually("it is ready", lambda: bridge.sidecar.health()["status"] == "ready")
        eventually("the mail is there", lambda: self.ids() == ["<1@ann>"])
        bridge.sidecar.stopping.set()
        watcher.join(10)
        self.assertFalse(watcher.is_alive())
