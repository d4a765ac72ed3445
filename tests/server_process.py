"""A server in a process of its own, for tests that kill it: STATE URL PORTFILE QUIET."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from med_stylesr.service.pacs.serve import Server
from med_stylesr.service.pacs.serve_settings import ServeSettings

FAKE = [sys.executable, str(Path(__file__).with_name("fake_enhance.py"))]


def main(state: Path, url: str, told: Path, quiet_s: float) -> None:
    settings = ServeSettings(
        to=(url,), port=0, http_port=None, quiet_s=quiet_s, min_free_gb=0, backoff_s=0.1, backoff_max_s=0.3, attempts=99
    )
    with Server(state, settings, program=FAKE) as server:
        signal.signal(signal.SIGTERM, lambda signum, frame: server.stop())
        partial = told.with_suffix(".partial")
        partial.write_text(str(server.dicom_port))
        os.replace(partial, told)
        server.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]))
