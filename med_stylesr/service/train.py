"""One training run: the bundle's config with overlays and overrides, checked, recorded in a run folder, and run."""

from __future__ import annotations

import difflib
import importlib.metadata
import inspect
import json
import logging
import os
import platform
import pydoc
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from med_stylesr.errors import MedStyleError, UsageError
from med_stylesr.inference.bundle_folder import bundles_root, find_bundle, is_shipped

_FLOAT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")
_RECORDED = ("med-stylesr", "torch", "monai", "pytorch-ignite", "numpy", "scipy", "pydicom")


@dataclass(frozen=True)
class TrainingRun:
    """What is to be trained.

    Attributes:
        bundle: name of a shipped bundle or its folder.
        overlays: names of overlays that come with the package (`smoke`, `ablation/no_edge`) or paths.
        overrides: config values by id (`train#trainer#max_epochs`).
        run_dir: folder of weights, checkpoints, logs and curves.
        resume: go on from the folder's checkpoint.
    """

    bundle: str
    overlays: Sequence[str]
    overrides: Mapping[str, Any]
    run_dir: Path
    resume: bool = False


def train(run: TrainingRun, tell: Callable[[str], None]) -> Path:
    """Train and return the file of the best weights.

    Args:
        run: what to train.
        tell: takes lines about the progress.

    Raises:
        UsageError: for unknown overlays or keys, or a run folder that is taken.
        MedStyleError: whatever stopped the training, in one line.
    """
    from monai.bundle import ConfigWorkflow

    bundle = find_bundle(run.bundle)
    if not is_shipped(bundle):
        tell(
            f"{bundle} does not come with med-stylesr: its configs are code and will be run; train trusted bundles only"
        )
    files = [str(bundle / "configs" / "train.json"), *(str(find_overlay(name)) for name in run.overlays)]
    if (run.run_dir / "last.pt").exists() and not run.resume:
        raise UsageError(str(run.run_dir), "holds an earlier run", "go on with --resume or choose another --run-dir")
    given = {**run.overrides, "run_dir": str(run.run_dir), "resume": run.resume, "bundle_root": str(bundle)}
    check_keys(files, given)
    run.run_dir.mkdir(parents=True, exist_ok=True)
    # It warns that overlays lie outside the bundle, which is where they belong.
    logging.getLogger("monai.bundle.workflows").setLevel(logging.ERROR)
    # Engines and their handlers log an error that stops them, each with its traceback; it is told once, by who called.
    logging.getLogger("ignite").setLevel(logging.CRITICAL)
    workflow = ConfigWorkflow(
        config_file=files,
        meta_file=str(bundle / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        **given,
    )
    record(workflow.parser.get(), run.run_dir)
    for name in _printing(workflow.parser.get()):
        logging.getLogger(name).addFilter(lambda entry: not entry.exc_info)
    try:
        workflow.initialize()
        _watch(workflow, tell)
        workflow.run()
        workflow.finalize()
    except Exception as error:
        told = _told(error)
        if told is None:
            raise
        raise told from error
    return run.run_dir / "model.pt"


def find_overlay(name: str) -> Path:
    """File of an overlay by its name or path.

    Raises:
        UsageError: if there is none.
    """
    beside = bundles_root().parent / "configs"
    for candidate in (Path(name), beside / f"{name}.json"):
        if candidate.is_file():
            return candidate
    known = sorted(str(p.relative_to(beside).with_suffix("")) for p in beside.rglob("*.json"))
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]}" if close else f"use a path or one of {', '.join(known)}"
    raise UsageError(f"overlay {name}", "there is none of that name", hint)


def check_keys(files: Sequence[str], overrides: Mapping[str, Any]) -> None:
    """Reject keys that nothing in the configuration knows: MONAI itself would ignore a typing error in silence.

    A key is known if the base config has it, if it is an argument of the part it is given to (`_target_`), or (for new
    top-level keys of an overlay) if some value refers to it.

    Args:
        files: the base config and its overlays.
        overrides: further values by id.

    Raises:
        UsageError: naming the key and the nearest known one.
    """
    base = _load(files[0])
    known = _ids(base)
    for name in files[1:]:
        overlay = {key.lstrip("+"): value for key, value in _load(name).items()}
        referred = set(re.findall(r"@([\w#:]+)", json.dumps([overlay, base])))
        for key in overlay:
            if key not in known and key not in referred:
                _check_argument(key, known, name)
        known |= _ids(overlay)
    for key in overrides:
        if key not in known:
            _check_argument(key, known, "override")


def record(config: Mapping[str, Any], run_dir: Path) -> None:
    """Write the resolved configuration and the environment, so that the run can be repeated.

    Args:
        config: the merged configuration.
        run_dir: folder for `config.json` and `environment.json`.
    """
    merged = {key: value for key, value in config.items() if key != "_meta_"}
    (run_dir / "config.json").write_text(json.dumps(merged, indent=2, default=str) + "\n", encoding="utf-8")
    versions = {}
    for name in _RECORDED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    facts = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": versions,
        "git_commit": _commit(),
        "arguments": sys.argv[1:],
    }
    (run_dir / "environment.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def parse_overrides(pairs: Sequence[str]) -> dict[str, Any]:
    """Read `key=value` pairs; values are YAML (numbers, lists, true, null), config expressions or plain text.

    >>> parse_overrides(["train#trainer#max_epochs=3", "features=[8, 12]"])
    {'train#trainer#max_epochs': 3, 'features': [8, 12]}

    Raises:
        UsageError: for a pair without `=`.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key:
            raise UsageError(pair, "is not of the form KEY=VALUE", "write for example train#trainer#max_epochs=20")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            # A reference such as @x, which YAML reserves.
            value = text
        # YAML 1.1 takes 1e-3 for text.
        values[key] = float(text) if isinstance(value, str) and _FLOAT.fullmatch(text) else value
    return values


def _load(path: str) -> dict[str, Any]:
    from monai.bundle import ConfigParser

    try:
        config = ConfigParser.load_config_file(path)
    except (ValueError, yaml.YAMLError) as error:
        raise UsageError(path, f"is no valid config: {error}", "check the file") from error
    return dict(config)


def _ids(config: Any, prefix: str = "") -> dict[str, Any]:
    """Values of a config by id, at all depths."""
    found = {}
    entries = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    for key, value in entries:
        name = f"{prefix}#{key}" if prefix else str(key)
        found[name] = value
        found |= _ids(value, name)
    return found


def _check_argument(key: str, known: Mapping[str, Any], where: str) -> None:
    """Accept a key that no config has yet if the part it belongs to takes an argument of that name."""
    part, _, argument = key.rpartition("#")
    taken, handed_on = _arguments(str(known.get(f"{part}#_target_", "")))
    # What is handed on beyond the part is refused there, if it is wrong, before anything is trained.
    if argument in taken or handed_on:
        return
    close = difflib.get_close_matches(key, sorted({*known, *(f"{part}#{name}" for name in taken)}), 1)
    hint = f"did you mean {close[0]}" if close else "see docs/reference/config.md"
    raise UsageError(f"{where}: key {key}", "is in no config of this run", hint)


def _arguments(target: str) -> tuple[set[str], bool]:
    """Names that a part takes, and whether it hands any other keyword on to somebody who is not among its bases.

    A part has its own arguments, and its base classes' as long as it hands further keywords up to them.
    """
    part = pydoc.locate(target)
    names: set[str] = set()
    handed_on = False
    for made in [vars(cls).get("__init__") for cls in part.__mro__] if isinstance(part, type) else [part]:
        if not inspect.isfunction(made):
            continue
        parameters = inspect.signature(made).parameters.values()
        names |= {parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD}
        handed_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
        if not handed_on:
            break
    return names - {"self"}, handed_on


def _printing(config: Any) -> list[str]:
    """Names of the loggers of a config's handlers that print metrics."""
    values = config.values() if isinstance(config, dict) else config if isinstance(config, list) else ()
    names = [name for value in values for name in _printing(value)]
    if isinstance(config, dict) and config.get("_target_") == "monai.handlers.StatsHandler" and "name" in config:
        names.append(config["name"])
    return names


def _watch(workflow: Any, tell: Callable[[str], None]) -> None:
    from med_stylesr.engines.progress import EpochProgress

    EpochProgress(tell).attach(workflow.parser.get_parsed_content("train#trainer"))


_NOT_MADE: Final = re.compile(r"Failed to instantiate component '([^']+)'")
"""What MONAI says of a part of the config that cannot be made; the reason is its cause."""


def _told(error: BaseException) -> MedStyleError | None:
    """The error meant for the user inside the ones that MONAI's parser wraps around it."""
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, MedStyleError):
            return current
        part = _NOT_MADE.match(str(current))
        cause = current.__cause__
        if part and isinstance(cause, (TypeError, ValueError)):
            return UsageError(f"values of {part[1].rsplit('.')[-1]}", str(cause), "correct the config or the override")
        current = cause or current.__context__
    return None


def _commit() -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    package = Path(__file__).resolve().parent
    answer = subprocess.run([git, "rev-parse", "HEAD"], cwd=package, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None
