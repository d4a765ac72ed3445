"""Runs of `enhance` inside this process: torch and the bundle are loaded once, scans are small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from service_runs import SETTINGS, Run

from med_stylesr.inference.bundle_folder import BUNDLE_2D
from med_stylesr.inference.enhancer import Enhancer
from med_stylesr.inference.strength import StrengthRequest
from med_stylesr.service import batch

Enhance = Callable[..., Run]


@pytest.fixture(scope="session")
def enhancer() -> Enhancer:
    return Enhancer(BUNDLE_2D, "cpu")


@pytest.fixture
def enhance(enhancer: Enhancer, monkeypatch: pytest.MonkeyPatch) -> Enhance:
    """`run_batch` with settings by keyword; those of `EnhanceOptions` and `StrengthRequest` may be named directly."""
    monkeypatch.setattr("med_stylesr.service.workers.load_enhancer", lambda settings: enhancer)

    def run(source: Path, dest: Path, *, jobs: int = 1, resume: bool = False, **changes: Any) -> Run:
        options = SETTINGS.options
        for name in ("scale", "style", "uncertainty", "safe"):
            if name in changes:
                options = replace(options, **{name: changes.pop(name)})
        for name in ("strength", "dose_fraction", "target_noise_hu"):
            if name in changes:
                options = replace(options, request=StrengthRequest(**{name: changes.pop(name)}))
        settings = replace(SETTINGS, options=options, **changes)
        events: list[dict[str, Any]] = []
        manifest = batch.run_batch(
            source, dest, settings, jobs=jobs, resume=resume, events=lambda event: events.append(dict(event))
        )
        return Run(batch.exit_status(manifest), dest, events)

    return run
