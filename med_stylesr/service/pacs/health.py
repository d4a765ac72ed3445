"""What a server says of itself over HTTP, to this machine alone: /healthz for supervisors, /metrics for Prometheus."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from med_stylesr.errors import UsageError

_LOOPBACK: Final = "127.0.0.1"
_SILENCE_S: Final = 10


@dataclass(frozen=True)
class Vitals:
    """The state of a server in numbers; none of them tells whose images they are about.

    Attributes:
        problems: what hinders work, in fixed words; none when all is well.
        images: images by what became of them, since the start.
        bytes_stored: bytes taken since the start.
        associations_refused: since the start.
        studies: studies by state, of now.
        deliveries: deliveries by state, of now.
        oldest_study_s: age of the longest waiting study in seconds, 0 if none waits.
        enhancing_s: seconds since the study under way was begun, 0 if none is.
        free_bytes: free disk space.
    """

    problems: tuple[str, ...]
    images: dict[str, int]
    bytes_stored: int
    associations_refused: int
    studies: dict[str, int]
    deliveries: dict[str, int]
    oldest_study_s: float
    enhancing_s: float
    free_bytes: int


class HealthServer:
    """Answers over HTTP on loopback, in threads of its own.

    Args:
        port: where; 0 takes a free one.
        vitals: asked anew for every answer.

    Raises:
        UsageError: if the port is taken.
    """

    def __init__(self, port: int, vitals: Callable[[], Vitals]) -> None:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_VitalsCollector(vitals))

        class Handler(BaseHTTPRequestHandler):
            timeout = _SILENCE_S

            def do_GET(self) -> None:
                if self.path == "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
                elif self.path == "/healthz":
                    status, body = _health(vitals())
                    self._answer(status, "application/json", json.dumps(body).encode())
                else:
                    self._answer(404, "text/plain", b"/healthz and /metrics are here\n")

            def _answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Being asked is no event."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Whoever hangs up before the answer is no event either."""

        try:
            self._server = Server((_LOOPBACK, port), Handler)
        except OSError as error:
            raise UsageError(
                f"--http-port {port}", f"cannot be listened on ({error.strerror})", "choose another"
            ) from error
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()


def _health(vitals: Vitals) -> tuple[int, dict[str, Any]]:
    waiting = {"studies": vitals.studies, "deliveries": vitals.deliveries}
    word = "failing" if vitals.problems else "ok"
    return (503 if vitals.problems else 200), {"status": word, "problems": list(vitals.problems), **waiting}


class _VitalsCollector(Collector):
    """The vitals in Prometheus' terms."""

    def __init__(self, vitals: Callable[[], Vitals]) -> None:
        self._vitals = vitals

    def collect(self) -> Iterable[Metric]:
        """Every number of now."""
        vitals = self._vitals()
        name = "med_stylesr_"
        images = CounterMetricFamily(f"{name}images", "Images received, by what became of them.", labels=["verdict"])
        for verdict, count in sorted(vitals.images.items()):
            images.add_metric([verdict.replace(" ", "_")], count)
        yield images
        yield CounterMetricFamily(f"{name}received_bytes", "Bytes of stored images.", vitals.bytes_stored)
        yield CounterMetricFamily(f"{name}associations_refused", "Refused associations.", vitals.associations_refused)
        for what, counts in (("studies", vitals.studies), ("deliveries", vitals.deliveries)):
            family = GaugeMetricFamily(name + what, f"{what.capitalize()} on this server, by state.", labels=["state"])
            for state, count in sorted(counts.items()):
                family.add_metric([state], count)
            yield family
        yield GaugeMetricFamily(
            f"{name}oldest_study_seconds", "Age of the longest waiting study.", vitals.oldest_study_s
        )
        yield GaugeMetricFamily(f"{name}enhancing_seconds", "Time spent on the study under way.", vitals.enhancing_s)
        yield GaugeMetricFamily(f"{name}free_bytes", "Free disk space.", vitals.free_bytes)
        yield GaugeMetricFamily(f"{name}healthy", "1 when /healthz says ok.", 0 if vitals.problems else 1)
