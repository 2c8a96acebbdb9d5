# SPDX-License-Identifier: Apache-2.0
"""Sends one streamed request and shows the answer as it comes, then what it cost, who served it at which
trust level, and where the time went. Reads the three variables of run/env; standard library only."""
import http.client
import json
import os
import sys
import time
import urllib.parse

QUESTION = sys.argv[1]
BASE_URL = os.environ["OPENAI_BASE_URL"]
TIMEOUT_S = 120

# The receipt's stages in the order in which a request passes them.
STAGES = (
    ("parse", "parse_us"),
    ("reserve (overlaps what follows)", "reserve_us"),
    ("route", "route_us"),
    ("queue", "queue_us"),
    ("seal", "encrypt_us"),
    ("dispatch", "dispatch_us"),
    ("provider, to its first token", "provider_us"),
)


def post(url, body):
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=TIMEOUT_S)
    headers = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json",
               "X-Darkbloom-Receipt": "1"}  # the price, who served and where the time went
    headers["X-Darkbloom-Receipt"] = "1"  # the price, who served and where the time went, as the last event
    connection.request("POST", url.path + "/chat/completions", json.dumps(body), headers)
    return connection.getresponse()


def events(response):
    """The data of each server-sent event up to [DONE]."""
    for line in response:
        if not line.startswith(b"data:"):
            continue
        data = line[len(b"data:"):].strip()
        if data == b"[DONE]":
            return
        yield json.loads(data)
    sys.exit("error: the stream ended without [DONE]")


def check_error(event):
    if "error" in event:
        error = event["error"]
        sys.exit(f"\nerror: the request failed: {error.get('message')} ({error.get('code') or error.get('type')})")


def show(usage, receipt, first_s, total_s):
    cost = receipt["cost_micro_usd"]
    print(f"  tokens    {usage['prompt_tokens']} in, {usage['completion_tokens']} out")
    print(f"  price     {cost} micro-USD (${cost / 1e6:.6f})")
    print(f"  trust     {receipt['trust_level']}, provider {receipt['provider_id']}")
    print(f"  time      first token after {first_s * 1e3:.0f} ms, all after {total_s * 1e3:.0f} ms; by stage:")
    for name, key in STAGES:
        if key in receipt["timing"]:
            print(f"    {name:<32}{receipt['timing'][key] / 1e3:10.3f} ms")


def main():
    start = time.monotonic()
    response = post(urllib.parse.urlsplit(BASE_URL), {
        "model": os.environ["DARKBLOOM_MODEL"],
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": 100,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    })
    if response.status != 200:
        check_error(json.load(response))
        sys.exit(f"error: the request failed with status {response.status}")
    print(f"> {QUESTION}\n< ", end="", flush=True)
    usage = receipt = first_s = None
    for event in events(response):
        check_error(event)
        usage = event.get("usage") or usage
        receipt = event.get("receipt") or receipt
        for choice in event["choices"]:
            if content := choice["delta"].get("content"):
                first_s = first_s or time.monotonic() - start
                print(content, end="", flush=True)
    print("\n")
    if first_s is None:
        sys.exit("error: the answer was empty")
    if usage is None or receipt is None:
        sys.exit("error: the answer came without its usage or its receipt")
    show(usage, receipt, first_s, time.monotonic() - start)


try:
    main()
except KeyboardInterrupt:
    sys.exit(130)
except (OSError, http.client.HTTPException) as e:
    sys.exit(f"\nerror: the coordinator did not answer: {e}")
