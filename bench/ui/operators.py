"""Operators without a browser: they send the labeling widget's messages over the app's websocket.

    python -m bench.ui.operators URL --project NAME --truth FILE [--operators 20] [--per-minute 4] [--seconds 600]

Each is a separate session with a queue and an outbox like the widget's. It labels every image with its true text, found
by decoding its pixels, and renews its leases. Prints one JSON object with images received, labels and answers.
"""

import argparse
import asyncio
import base64
import json
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from bench.ui.million import load_truth
from core.images.pixels import decode, pixel_hash

SEND_SECONDS = 0.15
RESEND_SECONDS = 3.0
RENEW_SECONDS = 20.0
LOW = 10
"""Widget values: seconds between messages, until a resend, between renewals, and queue length to request more."""
END_SECONDS = 60.0
"""Timeout for answers after the last label."""
COMPONENT = "slotlab.labeler"


@dataclass
class Operator:
    """An operator with the state that the widget keeps in a tab."""

    name: str
    url: str
    project: str
    truth: Mapping[str, str]
    tab: str = field(default_factory=lambda: uuid4().hex)
    queue: list[dict[str, Any]] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    outbox: dict[str, dict[str, Any]] = field(default_factory=dict)
    born: dict[str, float] = field(default_factory=dict)
    """Creation time of each event."""
    given: list[str] = field(default_factory=list)
    typed: dict[str, str] = field(default_factory=dict)
    acknowledge_ms: list[float] = field(default_factory=list)
    acknowledged_at: list[float] = field(default_factory=list)
    """Time of each answer above, on the monotonic clock."""
    errors: list[str] = field(default_factory=list)
    messages: int = 0
    waited_s: float = 0.0
    """Total time without an image."""
    socket: ClientConnection | None = None
    widget_id: str = ""
    fragment_id: str = ""
    page_hash: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    more: bool = True
    """True if the server has more images."""
    sent: float = float("-inf")
    fresh: bool = True
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def work(self, starts_after: float, every: float, until: float) -> None:
        """Open the page after `starts_after` seconds, then label an image each `every` seconds until `until`."""
        await asyncio.sleep(starts_after)
        cookie = {"Cookie": f"slotlab_operator={self.name}"}
        parts = urlsplit(self.url)
        try:
            stream = f"ws://{parts.netloc}/_stcore/stream"
            async with connect(
                stream, subprotocols=[Subprotocol("streamlit")], additional_headers=cookie, max_size=None
            ) as self.socket:
                listening = asyncio.create_task(self._listen())
                pumping = asyncio.create_task(self._pump())
                await self._open()
                await self._label(every, until)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._answered(), END_SECONDS)
                for task in (listening, pumping):
                    task.cancel()
        except (OSError, WebSocketException) as error:
            self.errors.append(f"{type(error).__name__}: {error}")

    async def _label(self, every: float, until: float) -> None:
        clock = time.monotonic
        due = clock()
        while due < until:
            await asyncio.sleep(due - clock())
            began = clock()
            while not self.queue and clock() < until:
                self.changed.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), 0.5)
            self.waited_s += clock() - began
            if self.queue:
                self._give(self.queue.pop(0))
            due = max(due + every, clock())

    def _give(self, image: dict[str, Any]) -> None:
        """Label an image with the text of its pixels, not of its hash in the message."""
        sample, text = image["sample"], self.truth[image["pixels"]]
        event = uuid4().hex
        self.outbox[event] = {
            "event": event,
            "action": "label",
            "sample": sample,
            "text": text,
            "flag": None,
            "base": image["version"],
            "after": None,
            "operator": self.name,
            "delta": 1,
            "ms": 1500,
            "at": int(time.time() * 1000),
        }
        self.born[event] = time.monotonic()
        self.typed[sample] = text
        self.done.add(sample)
        self.fresh = True

    async def _answered(self) -> None:
        while self.outbox:
            self.changed.clear()
            await self.changed.wait()

    async def _open(self) -> None:
        message = BackMsg()
        state = message.rerun_script
        state.query_string = f"project={self.project}"
        state.page_name = "label"
        state.context_info.timezone = "UTC"
        state.context_info.locale = "en-US"
        state.context_info.url = f"{self.url}/label"
        assert self.socket is not None
        await self.socket.send(message.SerializeToString())

    async def _pump(self) -> None:
        """Send the whole outbox on changes, on overdue answers, and to renew leases."""
        while True:
            await asyncio.sleep(0.03)
            if not self.data:
                continue
            wants = self.more and len(self.queue) < self.low
            age = time.monotonic() - self.sent
            overdue = (self.outbox or wants) and age > RESEND_SECONDS
            if (self.fresh and age > SEND_SECONDS) or overdue or age > RENEW_SECONDS:
                await self._send(wants=wants)

    async def _send(self, *, wants: bool) -> None:
        self.sent, self.fresh = time.monotonic(), False
        value = {
            "tab": self.tab,
            "id": self.data["id"],
            "project": self.project,
            "queue": self.data["queue"],
            "reply": self.data["reply"],
            "have": [image["sample"] for image in self.queue],
            "lacks": [],
            "passed": [],
            "wants": wants,
            "events": list(self.outbox.values()),
        }
        message = BackMsg()
        state = message.rerun_script
        state.query_string = f"project={self.project}"
        state.page_script_hash = self.page_hash
        state.fragment_id = self.fragment_id
        widget = state.widget_states.widgets.add()
        widget.id = f"$$STREAMLIT_INTERNAL_KEY_{self.widget_id}__events"
        widget.json_trigger_value = json.dumps([{"event": "outbox", "value": value}])
        assert self.socket is not None
        await self.socket.send(message.SerializeToString())
        self.messages += 1

    async def _listen(self) -> None:
        assert self.socket is not None
        try:
            async for frame in self.socket:
                message = ForwardMsg.FromString(frame if isinstance(frame, bytes) else frame.encode())
                self._receive(message)
        except WebSocketException as error:
            self.errors.append(f"{type(error).__name__}: {error}")

    def _receive(self, message: ForwardMsg) -> None:
        kind = message.WhichOneof("type")
        if kind == "navigation":
            self.page_hash = message.navigation.page_script_hash
        elif kind == "script_finished" and message.script_finished == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
            self.errors.append("the script did not compile")
        elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            element = message.delta.new_element
            if element.WhichOneof("type") == "exception":
                self.errors.append(f"{element.exception.type}: {element.exception.message}")
            elif element.WhichOneof("type") == "bidi_component" and element.bidi_component.component_name == COMPONENT:
                self.widget_id, self.fragment_id = element.bidi_component.id, message.delta.fragment_id
                self._read(json.loads(element.bidi_component.json))

    def _read(self, data: dict[str, Any]) -> None:
        """Handle new data like the widget."""
        if data.get("reply") == self.data.get("reply"):
            return
        self.data = data
        self.more = self.more if data["more"] is None else data["more"]
        if data.get("error"):
            self.errors.append(data["error"])
        for answer in data.get("answers") or []:
            if self.outbox.pop(answer["event"], None) is None:
                continue
            self.acknowledged_at.append(time.monotonic())
            self.acknowledge_ms.append(1000 * (self.acknowledged_at[-1] - self.born[answer["event"]]))
            if answer["status"] not in ("saved", "repeated"):
                self.errors.append(f"{answer['status']}: {answer['message']}")
        lost = set(data.get("lost") or [])
        self.queue = [image for image in self.queue if image["sample"] not in lost]
        have = {image["sample"] for image in self.queue}
        for image in data.get("images") or []:
            if image["sample"] not in self.done | have:
                pixels = pixel_hash(decode(base64.b64decode(image["url"].partition(",")[2])))
                if pixels != image["sample"]:
                    self.errors.append("an image came with the hash of another")
                self.queue.append({"sample": image["sample"], "version": image["version"], "pixels": pixels})
                self.given.append(image["sample"])
        if self.more and len(self.queue) < self.low:
            self.fresh = True
        self.changed.set()

    @property
    def low(self) -> int:
        """Return the queue length at which to request more: the app's value, limited because labeling is slow."""
        return min(LOW, int(self.data["low"]))

    def report(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "tab": self.tab,
            "typed": self.typed,
            "given": self.given,
            "unanswered": len(self.outbox),
            "acknowledge_ms": self.acknowledge_ms,
            "acknowledged_at": self.acknowledged_at,
            "errors": self.errors,
            "messages": self.messages,
            "waited_s": round(self.waited_s, 2),
        }


async def operate(
    url: str, project: str, truth: Mapping[str, str], *, operators: int, per_minute: float, seconds: float
) -> list[dict[str, Any]]:
    """Run the operators, with their first labels spread over one interval, and return their reports."""
    every = 60 / per_minute
    spread = min(every, seconds / 2)
    until = time.monotonic() + seconds
    team = [Operator(f"operator-{number + 1:02}", url, project, truth) for number in range(operators)]
    await asyncio.gather(*(each.work(spread * place / operators, every, until) for place, each in enumerate(team)))
    return [each.report() for each in team]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.ui.operators", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", help="address of the app, for example http://127.0.0.1:8501")
    parser.add_argument("--project", required=True)
    parser.add_argument("--truth", type=Path, required=True, help='file with lines "hash text"')
    parser.add_argument("--operators", type=int, default=20)
    parser.add_argument("--per-minute", type=float, default=4.0)
    parser.add_argument("--seconds", type=float, default=600.0)
    options = parser.parse_args()
    truth = load_truth(options.truth)
    reports = asyncio.run(
        operate(
            options.url,
            options.project,
            truth,
            operators=options.operators,
            per_minute=options.per_minute,
            seconds=options.seconds,
        )
    )
    print(json.dumps(reports))
    return 0


if __name__ == "__main__":
    sys.exit(main())
