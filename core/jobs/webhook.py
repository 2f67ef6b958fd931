"""The webhook: one POST for each end of a run, to the address in SLOTLAB_WEBHOOK.

The runner sends it, so it comes without an open page. If the runner was killed, the process that first sees the end
starts `python -m core.jobs.webhook` with the message. It says how the run ended, and has no image, no label and no
sentence. Nothing is sent twice.
"""

import json
import os
import sys
import threading
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from core.errors import OptionError
from core.jobs.jobdir import JobDir
from db.records import now

VARIABLE = "SLOTLAB_WEBHOOK"
SECONDS = 10.0
"""Time for the whole delivery."""


def address() -> str | None:
    """Return the address of the webhook, or None. Raises OptionError for one that is not allowed.

    Only https keeps the message from others on its way. The address may hold a secret, so no sentence repeats it.
    """
    from core.web import is_loopback  # imports Starlette

    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return None
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:  # a port that is not a number, or half an IPv6 address
        host = None
    is_safe = host and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))
    if not is_safe or "@" in parts.netloc:
        raise OptionError(
            f"{VARIABLE} must be an https address without a user name, or an http address of this machine."
        )
    return text


def message_of(job: JobDir) -> dict[str, Any] | None:
    """Return the message about a run that has ended. None for other jobs."""
    spec = job.read("run.json") or {}
    if spec.get("kind") != "train":
        return None
    ended, result, end = job.outcome(), job.read("result.json") or {}, job.read("exit.json") or {}
    val, by_people = result.get("val") or {}, spec.get("reference", "people") == "people"
    score = val["correct"] / val["n"] if val.get("n") else None
    return {
        "event": "run ended", "run": job.id, "project": (spec.get("project") or {}).get("name"),
        "preset": spec.get("preset"), "state": ended.state, "cause": ended.cause, "val_correct": val.get("correct"),
        "val_n": val.get("n"), "exact_match": score if by_people else None,
        "agreement": None if by_people else score, "seconds": result.get("seconds"), "at": end.get("at") or now(),
    }  # fmt: skip


def send(message: dict[str, Any]) -> None:
    """Send a message, if a webhook is set. Print a failure as one line; it is never repeated."""
    try:
        url = address()
    except OptionError as error:
        print(error, flush=True)
        return
    if url is None:
        return
    failures: list[str] = []
    # A name server or a slow receiver must not hold the runner. So the thread ends with the process.
    thread = threading.Thread(target=lambda: failures.extend(_post(url, message)), daemon=True)
    thread.start()
    thread.join(SECONDS)
    if thread.is_alive():
        failures = [_no_answer()]
    for failure in failures:
        print(f"The webhook at {urlsplit(url).hostname} failed: {failure}.", flush=True)


class _NoRedirect(HTTPRedirectHandler):
    """Follows no redirect, which could lead to an address that is not allowed."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _no_answer() -> str:
    return f"no answer within {SECONDS:g} s"


def _post(url: str, message: dict[str, Any]) -> list[str]:
    """Return why the message was not delivered; empty if it was."""
    proxies = [ProxyHandler({})] if url.startswith("http:") else []  # this machine is reached without a proxy
    headers = {"Content-Type": "application/json", "User-Agent": "slotlab"}
    request = Request(url, json.dumps(message).encode(), headers, method="POST")  # noqa: S310 - address() checks it
    try:
        with build_opener(_NoRedirect, *proxies).open(request, timeout=SECONDS):
            return []
    except HTTPError as error:
        return [f"status {error.code}"]
    except (OSError, HTTPException, ValueError) as error:  # ValueError: characters that no address has
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            return [_no_answer()]
        return [getattr(reason, "strerror", None) or type(reason).__name__]


if __name__ == "__main__":
    send(json.loads(sys.stdin.read()))
