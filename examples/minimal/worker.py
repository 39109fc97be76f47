#!/usr/bin/env python3
"""A worker: takes runs as they come, answers each, and hands the answer back. Python's standard library is enough.

The epoch of a claim is its fence. A worker that was too slow gets 409 `lease_lost` and has changed nothing; the run is
somebody else's by then.
"""

import json
import os
import urllib.error
import urllib.request

BASE = os.environ.get("KHEISH_URL", "http://127.0.0.1:4000")
TOKEN = os.environ.get("KHEISH_DAEMON_ADMIN_TOKEN")


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


def main():
    while True:
        # Waits up to half a minute for work, and returns at once when there is some.
        for run in call("/v1/runs/claim", {"worker_id": f"example-{os.getpid()}", "wait_ms": 30_000})["runs"]:
            end = {"epoch": run["lease"]["epoch"], "outputs": [{"content": answer(run)}]}
            try:
                ended = call(f"/v1/runs/{run['run_id']}/finish", end)
                print(run["run_id"], ended["status"], flush=True)
            except urllib.error.HTTPError as error:
                print(run["run_id"], error.read().decode(), flush=True)


if __name__ == "__main__":
    main()
