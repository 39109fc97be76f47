"""The helper: events, deliveries, leases and files, against a stub of the daemon."""

from __future__ import annotations

import hashlib
import http.client
import json
import threading
import unittest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kheish_sidecar import (
    Attachment,
    Credentials,
    Delivery,
    Event,
    Outcome,
    Refused,
    Settings,
    Sidecar,
    Unavailable,
    WrongSetting,
)
from kheish_sidecar.deliveries import Deliveries as OneAtATime
from tests.daemon import CREDENTIAL_TOKEN, TOKEN, Daemon


def event(number: int, content: str = "hello") -> Event:
    return {"event_id": f"e-{number}", "content": content, "routing_key": "room"}


class Case(unittest.TestCase):
    def setUp(self) -> None:
        self.stub = Daemon()
        self.addCleanup(self.stub.close)

    def sidecar(self, deliver: Any = lambda delivery: Outcome.committed(), **settings: Any) -> Sidecar:
        sidecar = Sidecar(self.stub.settings(**settings), deliver)
        sidecar.start()
        self.addCleanup(sidecar.stop)
        return sidecar


class Events(Case):
    def test_a_busy_daemon_is_asked_again_and_has_the_event_once(self) -> None:
        self.stub.failures = [503, 429, "drop"]
        result = self.sidecar().daemon.post(event(1))
        self.assertEqual((result.status, len(self.stub.events)), ("duplicate", 1), "the third try was taken unseen")
        self.assertEqual(self.stub.events[0]["instance_id"], "i-1")

    def test_many_events_go_in_few_requests_and_results_keep_their_order(self) -> None:
        self.stub.limit_items = 3
        events = [event(number, "poison" if number == 70 else "x") for number in range(150)]
        results = self.sidecar().daemon.post_all(events)
        self.assertEqual([index for index, one in enumerate(results) if one.status == "rejected"], [70])
        self.assertTrue(results[70].is_lost)
        self.assertEqual({one["event_id"] for one in self.stub.events}, {f"e-{n}" for n in range(150) if n != 70})
        sizes = [len(body.get("events", [1])) for _, body in self.stub.requests]
        self.assertLessEqual(max(sizes), 64)
        self.assertLessEqual(len(sizes), 4)

    def test_an_event_that_cannot_be_taken_holds_no_other_up(self) -> None:
        events = [event(1), event(2, "homeless"), event(3)]
        for failures in ([], [413]):
            self.stub.failures = list(failures)
            results = self.sidecar().daemon.post_all(events, patience=5)
            self.assertEqual([one.is_lost for one in results], [False, True, False])
        self.assertIn("session_not_found", str(results[1].reason))

    def test_large_events_go_in_several_requests(self) -> None:
        self.sidecar().daemon.post_all([event(number, "x" * 700_000) for number in range(4)])
        self.assertEqual([len(body["events"]) for _, body in self.stub.requests], [2, 2])

    def test_what_no_utf_8_can_say_is_still_sent(self) -> None:
        self.sidecar().daemon.post(event(1, "a\udcffb"))
        self.assertEqual(self.stub.events[0]["content"], "a?b")

    def test_an_older_daemon_is_spoken_to_as_it_speaks(self) -> None:
        self.stub.speaks = 1
        daemon = self.sidecar().daemon
        self.assertEqual(daemon.post(event(1)).status, "accepted")
        self.assertEqual([one.status for one in daemon.post_all([event(2), event(3)])], ["accepted"] * 2)
        self.assertEqual([body["protocol_version"] for _, body in self.stub.requests], [2, 1, 1])

    def test_a_refusal_is_final_and_patience_ends(self) -> None:
        with self.assertRaises(Refused) as refused:
            self.sidecar(shared_token="other").daemon.post(event(1))
        self.assertEqual((refused.exception.status, len(self.stub.requests)), (401, 1))
        self.stub.failures = [503] * 100
        with self.assertRaises(Unavailable):
            self.sidecar().daemon.post(event(1), patience=0.3)
        with self.assertRaises(ValueError):
            self.sidecar().daemon.post(event(1) | {"event_id": " "})

    def test_a_stop_ends_the_waiting(self) -> None:
        sidecar = self.sidecar()
        self.stub.failures = [503] * 1000
        stopper = threading.Timer(0.2, sidecar.stopping.set)
        stopper.start()
        with self.assertRaises(Unavailable):
            sidecar.daemon.post(event(1), patience=600)
        stopper.join()


class Leases(Case):
    def credentials(self, env: dict[str, str] | None = None) -> Credentials:
        self.stub.secrets = {"KEY": "first"}
        sidecar = self.sidecar(credential_token=CREDENTIAL_TOKEN, credential_keys=frozenset(["KEY"]))
        return Credentials(sidecar.daemon, env or {})

    def test_a_lease_is_kept_and_asked_for_anew_when_it_was_refused(self) -> None:
        credentials = self.credentials()
        self.assertEqual([credentials.get("KEY") for _ in range(3)], ["first"] * 3)
        self.assertEqual(len(self.stub.requests), 1)
        self.stub.secrets["KEY"] = "second"
        credentials.forget("KEY")
        self.assertEqual(credentials.get("KEY"), "second")

    def test_a_lease_is_renewed_before_its_end_and_outlives_a_failure(self) -> None:
        credentials = self.credentials()
        self.stub.lease_ms = 0
        credentials.get("KEY")
        self.stub.secrets["KEY"], self.stub.lease_ms = "second", 300_000
        self.assertEqual(credentials.get("KEY"), "second", "a third of its life before the end it is renewed")
        known = credentials._leases["KEY"]
        credentials._leases["KEY"] = type(known)("kept", 0.0, known.ends_at)
        self.stub.failures = [503, 401]
        self.assertEqual(credentials.get("KEY"), "kept")
        with self.assertRaises(Refused):
            credentials.get("KEY")
        self.assertEqual(credentials._leases, {}, "a revoked lease is not used on")

    def test_a_sidecar_that_was_not_started_by_the_daemon_reads_its_environment(self) -> None:
        credentials = self.credentials({"OTHER": "plain", "FILE_FILE": __file__})
        self.assertEqual(credentials.get("OTHER"), "plain")
        self.assertIn("unittest", credentials.get("FILE"))
        with self.assertRaises(WrongSetting):
            credentials.get("NONE")


class Files(Case):
    def test_a_file_is_what_its_digest_says_and_not_longer_than_allowed(self) -> None:
        self.stub.files = {"raw": b"bytes"}
        daemon = self.sidecar().daemon
        good = Attachment("a", "text/plain", "a.txt", "/v1/x/raw", hashlib.sha256(b"bytes").hexdigest(), 5)
        self.assertEqual(daemon.download(good, 5), b"bytes")
        for path, digest, limit in [
            (good.download_path, good.sha256, 4),
            (good.download_path, "0" * 64, 5),
            ("http://x/", None, 5),
        ]:
            with self.assertRaises(ValueError):
                daemon.download(Attachment("a", "text/plain", "a.txt", path, digest, 5), limit)


class Deliveries(Case):
    def post(
        self, sidecar: Sidecar, body: Any, token: str = TOKEN, key: str = "kheish:d-1", path: str = "/deliver"
    ) -> Any:
        connection = http.client.HTTPConnection(*sidecar.address, timeout=20)
        data = body if isinstance(body, bytes) else json.dumps(body)
        try:
            connection.request("POST", path, data, {"authorization": f"Bearer {token}", "idempotency-key": key})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()), answer.getheader("retry-after")
        except BrokenPipeError:
            return 413, {}, None
        finally:
            connection.close()

    def get(self, sidecar: Sidecar, path: str) -> Any:
        connection = http.client.HTTPConnection(*sidecar.address, timeout=20)
        connection.request("GET", path)
        said = json.loads(connection.getresponse().read())
        connection.close()
        return said

    DELIVERY = {
        "protocol_version": 1, "delivery_id": "d-1", "attempt": 2, "reply_route": "room", "content": "hello",
        "conversation": {"session_id": "s", "thread_id": "s"}, "artifacts": [],
        "parts": [
            {"type": "text", "text": "hello"},
            {"type": "attachment", "attachment": {"id": "a", "media_type": "text/plain", "download_path": "/v1/a/raw"}},
        ],
    }  # fmt: skip

    def test_a_delivery_is_read_and_its_outcome_said(self) -> None:
        seen: list[Delivery] = []
        outcomes = [
            (Outcome.retryable("later", retry_after=2.4), 429, "retryable_error", "2"),
            (Outcome.terminal("never"), 200, "terminal_error", None),
            (Outcome.unknown("who knows"), 200, "unknown", None),
            (Outcome.committed("x" * 100_000), 200, "committed", None),
        ]

        def deliver(delivery: Delivery) -> Outcome:
            seen.append(delivery)
            return outcomes[len(seen) - 1][0]

        sidecar = self.sidecar(deliver)
        for _, status, word, after in outcomes:
            answer = self.post(sidecar, self.DELIVERY)
            self.assertEqual((answer[0], answer[1]["status"], answer[2]), (status, word, after))
            self.assertLess(len(json.dumps(answer[1])), 1000, "answers are bounded")
        self.assertEqual(self.post(sidecar, self.DELIVERY)[1]["status"], "committed")
        self.assertEqual(len(seen), 4, "what arrived is not sent again")
        file = Attachment("a", "text/plain", "file", "/v1/a/raw", None, None)
        self.assertEqual(seen[0], Delivery("kheish:d-1", "d-1", 2, "room", "hello", (file,), "s"))

    def test_what_arrived_is_known_after_a_restart(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        ledger, seen = Path(folder.name) / "ledger", []

        def deliver(delivery: Delivery) -> Outcome:
            seen.append(delivery.key)
            return Outcome.committed()

        first = self.sidecar(deliver, ledger=ledger)
        for key in ("kheish:d-1", "kheish:d-2"):
            self.post(first, self.DELIVERY, key=key)
        first.stop()
        with ledger.open("a") as file:
            file.write("kheish:d-3")
        second = self.sidecar(deliver, ledger=ledger)
        for key in ("kheish:d-1", "kheish:d-2", "kheish:d-3"):
            self.assertEqual(self.post(second, self.DELIVERY, key=key)[1]["status"], "committed")
        self.assertEqual(seen, ["kheish:d-1", "kheish:d-2", "kheish:d-3"], "a torn line says nothing")
        self.assertEqual(ledger.read_text(), "kheish:d-1\nkheish:d-2\nkheish:d-3\n")

    def test_a_mistake_of_the_bridge_is_unknown(self) -> None:
        def deliver(_: Delivery) -> Outcome:
            raise RuntimeError("a secret")

        with self.assertLogs(level="ERROR"):
            answer = self.post(self.sidecar(deliver), self.DELIVERY)
        self.assertEqual((answer[0], answer[1]["status"]), (200, "unknown"))
        self.assertNotIn("secret", str(answer))

    def test_strangers_and_odd_bodies_are_refused(self) -> None:
        sidecar = self.sidecar()
        cases: list[tuple[int, dict[str, Any]]] = [
            (401, {"body": b"{", "token": "wrong"}),
            (401, {"body": b"{", "token": "gel\u00fcb"}),
            (400, {"body": b"{"}),
            (400, {"body": []}),
            (400, {"body": {"delivery_id": "d"}}),
            (413, {"body": b"x" * (3 << 20)}),
            (404, {"body": {}, "path": "/elsewhere"}),
        ]
        for status, arguments in cases:
            self.assertEqual(self.post(sidecar, **arguments)[0], status, str(arguments)[:80])

    def test_attempts_at_once_are_one(self) -> None:
        gate, calls = threading.Event(), []

        def deliver(delivery: Delivery) -> Outcome:
            calls.append(delivery.attempt)
            gate.wait(20)
            return Outcome.committed()

        deliveries = OneAtATime(deliver, threading.Event())
        deliveries.PATIENCE = 0.05
        first = Delivery("k", "d", 1, "room", "hello")
        for delivery in (first, Delivery("k", "d", 2, "room", "hello")):
            outcome = deliveries.take(delivery)
            self.assertEqual((outcome.status, outcome.retry_after), ("retryable_error", 1), "it is still under way")
        gate.set()
        deliveries.drain(20)
        self.assertEqual((deliveries.take(first).status, calls), ("committed", [1]))
        busy = OneAtATime(deliver, threading.Event())
        busy.MOST = 0
        self.assertEqual(busy.take(first).retry_after, 1)

    def test_an_end_waits_for_what_is_under_way_and_takes_no_more(self) -> None:
        entered, gate = threading.Event(), threading.Event()

        def deliver(_: Delivery) -> Outcome:
            entered.set()
            gate.wait(20)
            return Outcome.committed()

        sidecar = self.sidecar(deliver)
        answers: list[Any] = []
        asker = threading.Thread(target=lambda: answers.append(self.post(sidecar, self.DELIVERY)))
        asker.start()
        entered.wait(20)
        ending = threading.Thread(target=sidecar.stop)
        ending.start()
        sidecar.stopping.wait(20)
        self.assertEqual(self.get(sidecar, "/health")["status"], "draining")
        late = self.post(sidecar, self.DELIVERY, key="kheish:late")[1]
        self.assertEqual(late, {"status": "retryable_error", "detail": "the sidecar stops"})
        gate.set()
        ending.join()
        asker.join()
        self.assertEqual(answers[0][1]["status"], "committed")

    def test_it_says_what_it_is_and_how_it_fares(self) -> None:
        sidecar = self.sidecar(base_url="http://127.0.0.1:9/base")
        manifest = self.get(sidecar, "/base/manifest")
        self.assertEqual((manifest["protocol_version"], manifest["instance_id"]), (1, "i-1"))
        self.assertEqual(self.get(sidecar, "/base/health")["status"], "starting")
        sidecar.report("degraded", "no\u00fc" * 1000)
        health = self.get(sidecar, "/base/health")
        self.assertEqual((health["status"], len(health["detail"])), ("degraded", 500))
        self.assertIn("error", self.get(sidecar, "/manifest"))


class Environment(unittest.TestCase):
    def test_settings_are_those_of_a_child(self) -> None:
        prefix = "KHEISH_EXTERNAL_CONNECTOR_"
        env = {
            prefix + "NAME": "mail", prefix + "BASE_URL": "http://127.0.0.1:9100", prefix + "SHARED_TOKEN": "t0ken",
            prefix + "DAEMON_BASE_URL": "http://127.0.0.1:4000/", prefix + "CREDENTIAL_KEYS_JSON": '["A"]',
        }  # fmt: skip
        settings = Settings.from_env(env)
        self.assertEqual((settings.address, settings.credential_keys), (("127.0.0.1", 9100), {"A"}))
        self.assertEqual(settings.daemon_base_url, "http://127.0.0.1:4000")
        self.assertNotIn("t0ken", repr(settings))
        for name, value in [("NAME", ""), ("BASE_URL", "ftp://x"), ("BASE_URL", "http://127.0.0.1"), ("LISTEN", "x")]:
            with self.assertRaises(WrongSetting):
                Settings.from_env(env | {prefix + name: value}).address
        open_to_all = env | {prefix + "SHARED_TOKEN": "", prefix + "LISTEN": "0.0.0.0:9100"}
        with self.assertRaises(WrongSetting):
            Settings.from_env(open_to_all)
