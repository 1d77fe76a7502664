#!/usr/bin/env python3
"""A client of fapiao in the standard library alone, written from schemas/openapi.json.

client.py URL verify QR                          client.py URL verify CODE NUMBER DATE FACTOR
client.py URL issue TOKEN < drafts.jsonl         one JSON draft a line; one line out for each
Exit status: 0 genuine or all issued, 1 another answer or faulty, 3 unavailable.
"""
import http.client
import json
import sys
import time
import urllib.error
import urllib.request

TRIES = 6
WAIT_SECONDS_MAX = 30


class Unavailable(Exception):
    """Not answered after all tries."""


def post(url, body, token=None):
    """Status and JSON. The same again is safe: an invoice that was logged is answered with its first receipt."""
    headers = {"Content-Type": "application/json", "Accept-Language": "en"}
    if token:
        headers["Authorization"] = "Bearer " + token
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    why = "no answer"
    for attempt in range(TRIES):
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            problem = json.loads(error.read() or b"{}")
            if error.code not in (429, 503):
                return error.code, problem
            why = problem.get("detail") or problem.get("title")
            wait = int(error.headers.get("Retry-After", 1))
        except (OSError, ValueError, http.client.HTTPException) as error:  # refused, lost, cut off: nobody knows whether it was done
            why, wait = error, 2**attempt / 4
        if wait > WAIT_SECONDS_MAX or attempt == TRIES - 1:
            break
        time.sleep(wait)
    raise Unavailable(why)


def verify(url, arguments):
    if len(arguments) == 1:
        question = {"qr": arguments[0]}
    else:
        question = dict(zip(("code", "number", "date"), arguments))
        question["amount" if "." in arguments[3] else "check"] = arguments[3]
    status, answer = post(url + "/v1/verify", question)
    print(answer.get("verdict", status), answer.get("name") or answer.get("detail"))
    return 0 if answer.get("verdict") == 1 else 1


def issue(url, token):
    worst = 0
    for line in filter(str.strip, sys.stdin):
        status, answer = post(url + "/v1/invoices", json.loads(line), token)
        if status in (200, 201):
            print("logged" if status == 201 else "repeated", answer["index"], answer["signed_qr"])
            continue
        worst = 1
        print("refused", status, answer.get("detail") or answer.get("title"))
        for fault in answer.get("faults", []):
            print("   ", fault["code"], fault["path"], fault["en"])
    return worst


if __name__ == "__main__":
    try:
        address, what, *rest = sys.argv[1:]
        sys.exit({"verify": verify, "issue": lambda url, rest: issue(url, *rest)}[what](address, rest))
    except Unavailable as reason:
        sys.exit(print("unavailable:", reason, file=sys.stderr) or 3)
