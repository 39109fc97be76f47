"""Slack's own SDK against the double, and its signatures against the daemon.

Arguments: the double's base URL, the bot token, the connector's URL, the signing secret. Prints `judged` when everything
went as with Slack.
"""

import json
import sys
import time
import urllib.error
import urllib.request

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier


def refused(word, call, **arguments):
    try:
        call(**arguments)
    except SlackApiError as error:
        assert error.response["error"] == word, (word, error.response.data)
        return
    raise AssertionError(f"{word} was expected")


def judge_double(base, token):
    client = WebClient(token=token, base_url=base)
    assert client.auth_test()["team_id"] == "T1"
    metadata = {"event_type": "judged", "event_payload": {"part": "1"}}
    posted = client.chat_postMessage(channel="C1", text="by the SDK", metadata=metadata)
    found = client.conversations_history(channel="C1", include_all_metadata=True, oldest=posted["ts"], inclusive=True)
    assert found["messages"][0]["metadata"] == metadata, found.data
    assert client.conversations_replies(channel="C1", ts=posted["ts"])["messages"][0]["ts"] == posted["ts"]
    client.files_upload_v2(channel="C1", content="a,b\n1,2\n", filename="table.csv", thread_ts=posted["ts"])
    refused("channel_not_found", client.chat_postMessage, channel="C404", text="x")
    refused("no_text", client.chat_postMessage, channel="C1", text=" ")
    refused("thread_not_found", client.chat_postMessage, channel="C1", text="x", thread_ts="1.000001")
    refused("msg_too_long", client.chat_postMessage, channel="C1", text="x" * 40_001)
    refused("invalid_auth", WebClient(token="xoxb-wrong", base_url=base).auth_test)


def judge_door(door, secret):
    ts = f"{int(time.time())}.000100"
    event = {"type": "message", "channel": "C1", "user": "U1", "text": "signed", "ts": ts}
    body = json.dumps({"type": "event_callback", "team_id": "T1", "event_id": "Ev1", "event": event})
    now = str(int(time.time()))
    for key, status in ((secret, 200), ("wrong", 401)):
        signature = SignatureVerifier(key).generate_signature(timestamp=now, body=body)
        headers = {"content-type": "application/json", "x-slack-request-timestamp": now, "x-slack-signature": signature}
        request = urllib.request.Request(door, body.encode(), headers)
        try:
            answered = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30).status
        except urllib.error.HTTPError as error:
            answered = error.code
        assert answered == status, (answered, status)


judge_double(sys.argv[1], sys.argv[2])
judge_door(sys.argv[3], sys.argv[4])
print("judged")
