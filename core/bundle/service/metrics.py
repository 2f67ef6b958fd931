"""Counters of the service, in the text format of Prometheus."""

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
SECONDS = (0.002, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Counters of one service."""

    def __init__(
        self, *, waiting: Callable[[], int], audit_failures: Callable[[], int], log_failures: Callable[[], int]
    ) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        given: dict[str, Any] = {"registry": self._registry}
        self._requests = Counter("slotlab_requests", "Answered requests for readings.", ["status"], **given)
        self._seconds = Histogram(
            "slotlab_request_seconds", "Time from the headers to the answer.", buckets=SECONDS, **given
        )
        self._readings = Counter("slotlab_readings", "Images read.", ["accepted", "unfamiliar"], **given)
        self._verdicts = Counter("slotlab_verdicts", "Verdicts of the portal.", ["accepted"], **given)
        Gauge("slotlab_waiting_images", "Images that are not answered yet.", **given).set_function(waiting)
        Gauge("slotlab_audit_failures", "Lines that the audit log lacks.", **given).set_function(audit_failures)
        Gauge("slotlab_log_failures", "Lines and images that the log lacks.", **given).set_function(log_failures)

    def count_request(self, status: int, seconds: float) -> None:
        self._requests.labels(str(status)).inc()
        self._seconds.observe(seconds)

    def count_reading(self, *, accepted: bool | None, unfamiliar: bool) -> None:
        """Count an image. `accepted` is None for a bundle without threshold."""
        self._readings.labels("unknown" if accepted is None else str(accepted).lower(), str(unfamiliar).lower()).inc()

    def count_verdict(self, *, accepted: bool) -> None:
        self._verdicts.labels(str(accepted).lower()).inc()

    def text(self) -> bytes:
        return generate_latest(self._registry)
