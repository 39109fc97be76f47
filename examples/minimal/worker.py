#!/usr/bin/env python3
"""A worker: takes runs as they come, answers each, and hands the answer back. Python's standard library is enough.

The epoch of a claim is its fence. A worker that was too slow gets 409 `lease_lost` and has changed nothing; the run is
somebody else's by then. Work that takes long sends heartbeats, and stops when one says that the run is cancelled.
KHEISH_EXECUTOR_NAME says whose runs are claimed, where that is not the default executor.
"""

import json
import os
import urllib.error
import urllib.request

BASE = os.environ.get("KHEISH_URL", "http://127.0.0.1:4000")
TOKEN = os.environ.get("KHEISH_DAEMON_ADMIN_TOKEN")
EXECUTOR = os.environ.get("KHEISH_EXECUTOR_NAME")


def call(path, body):
    headers = {"Content-Type": "application/json"}
    if TOKEN:
        headers["Authorization"] = f"Bearer {TOKEN}"
    request = urllib.request.Request(BASE + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=90) as response:
        return json.load(response)


def answer(run):
    text = " ".join(part["text"] for part in run["input"] if part["type"] == "text")
    return f"You said: {text}"


def perform(run):
    path, epoch = f"/v1/runs/{run['run_id']}", run["lease"]["epoch"]
    # Between two steps of longer work: the lease is renewed, and the answer says whether anybody still wants the run.
    if call(f"{path}/heartbeat", {"epoch": epoch})["cancelled"]:
        return call(f"{path}/fail", {"epoch": epoch, "code": "cancelled", "reason": "somebody cancelled the run"})
    return call(f"{path}/finish", {"epoch": epoch, "outputs": [{"content": answer(run)}]})


def main():
    claim = {"worker_id": f"example-{os.getpid()}", "wait_ms": 30_000}
    if EXECUTOR:
        claim["executor"] = EXECUTOR
    while True:
        # Waits up to half a minute for work, and returns at once when there is some.
        for run in call("/v1/runs/claim", claim)["runs"]:
            try:
                print(run["run_id"], run["executor"], perform(run)["status"], flush=True)
            except urllib.error.HTTPError as error:
                print(run["run_id"], error.read().decode(), flush=True)


if __name__ == "__main__":
    main()
