#!/usr/bin/env python3
"""A receiver of runs, for an executor of the type `push`. Python's standard library is enough.

Short work is answered at once. Work whose text begins with `later` is taken over: the answer is 202, and the run is ended
afterwards with the token that came along, which is good for this run and this lease only.

    KHEISH_SIGNING_SECRET=... ./receiver.py 8080
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BASE = os.environ.get("KHEISH_URL", "http://127.0.0.1:4000")
SECRET = os.environ["KHEISH_SIGNING_SECRET"].encode()


def is_signed(headers, body):
    key = base64.b64decode(SECRET[6:] + b"==") if SECRET.startswith(b"whsec_") else SECRET
    sent, at = headers.get("webhook-signature", ""), headers.get("webhook-timestamp", "0")
    message = f"{headers.get('webhook-id')}.{at}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()
    # An old request is somebody's copy of one.
    return hmac.compare_digest(sent.encode(), expected.encode()) and abs(time.time() - int(at)) < 300


def fetch(run, asset):
    """A file of the run, with the token that came along."""
    headers = {"Authorization": f"Bearer {run['lease']['token']}"}
    request = urllib.request.Request(f"{BASE}/v1/assets/{asset}/raw", headers=headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.read()


def outputs(run):
    text = " ".join(part["text"] for part in run["input"] if part["type"] == "text")
    files = [fetch(run, part["asset_id"]) for part in run["input"] if part["type"] == "asset"]
    said = "".join(f" And sent {len(file)} bytes." for file in files)
    return [{"content": f"You said: {text}{said}"}], text.startswith("later")


def end(run, said):
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {run['lease']['token']}"}

    def call(verb, more):
        body = json.dumps({"epoch": run["lease"]["epoch"], **more}).encode()
        request = urllib.request.Request(f"{BASE}/v1/runs/{run['run_id']}/{verb}", body, headers)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    try:
        # Longer work does this again and again, sooner than lease_ms goes by.
        if call("heartbeat", {})["cancelled"]:
            call("fail", {"code": "cancelled", "reason": "somebody cancelled the run"})
        else:
            call("finish", {"outputs": said})
    except urllib.error.HTTPError as error:
        print(run["run_id"], error.read().decode(), flush=True)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if not is_signed(self.headers, body):
            return self.answer(401, {"error": "the signature is wrong"})
        run = json.loads(body)
        said, is_long = outputs(run)
        if is_long:
            self.answer(202, {})
            threading.Thread(target=end, args=(run, said)).start()
        else:
            self.answer(200, {"outputs": said})

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8080), Receiver)
    print(f"receiving on {server.server_port}", flush=True)
    server.serve_forever()
