"""Write docs/reference/config-parts.md: what every argument of every part means that a config names.

python tools/make_config_parts.py

Parts of this package are told by their docstrings, parts of MONAI, torch and ignite in OTHERS.
"""

from __future__ import annotations

import inspect
import json
import pathlib
import pydoc
import re
import sys
from collections.abc import Iterator
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "config-parts.md"
INTRO = """# Parts that configs are made of

A mapping with `_target_` makes an object of that class with the other entries as arguments; `_disabled_` leaves it out
where it is true; `_mode_: "callable"` gives the class with arguments filled in instead of an object. This page is made
from the docstrings by `python tools/make_config_parts.py`. What the keys around the parts do stands in
[config.md](config.md).
"""
PARENTS = {
    "med_stylesr.engines.pair_batches.PairBatches": "med_stylesr.engines.pair_batches.BatchPlan",
    "med_stylesr.engines.paired.PairedGanTrainer": "monai.engines.SupervisedTrainer",
    "med_stylesr.engines.unpaired.UnpairedGanTrainer": "med_stylesr.engines.paired.PairedGanTrainer",
}
OTHERS: dict[str, tuple[str, dict[str, str]]] = {
    "ignite.handlers.EMAHandler": (
        "Moving average of a network's weights.",
        {"model": "the network", "momentum": "share of the newest weights in every step, 0 ... 1"},
    ),
    "monai.data.CacheDataset": (
        "Reads every scan once and keeps what the transforms before the first random one made of it.",
        {
            "data": "list of mappings, one per scan",
            "transform": "what is done to each",
            "cache_rate": "share of the scans kept in memory",
            "num_workers": "threads that fill the cache",
            "progress": "whether to show a bar while filling it",
            "hash_as_key": "scans that the list repeats share one place in the cache",
        },
    ),
    "monai.data.DataLoader": (
        "Makes batches.",
        {
            "dataset": "where items come from",
            "batch_size": "items per batch; a scan that gives n patches counts as one item",
            "shuffle": "draw in random order",
            "sampler": "what chooses the order, in place of `shuffle`",
            "num_workers": "processes that prepare items; 0: the main one",
            "drop_last": "leave out a last batch that is not full",
        },
    ),
    "torch.utils.data.DataLoader": (
        "Makes batches; `batch_size` null: the data set gives whole batches.",
        {"dataset": "where items come from", "batch_size": "items per batch"},
    ),
    "torch.utils.data.distributed.DistributedSampler": (
        "Gives every process its share of the items.",
        {
            "dataset": "what is shared out",
            "shuffle": "a new order in every epoch, the same in all processes",
            "seed": "of that order",
            "drop_last": "leave out what does not fill all processes",
        },
    ),
    "monai.data.Dataset": ("A list of scans.", {"data": "the list", "transform": "what is done to each"}),
    "monai.engines.SupervisedTrainer": (
        "The engine that runs epochs and iterations.",
        {
            "device": "where to compute",
            "max_epochs": "epochs of the whole run, those before a resume counted in",
            "train_data_loader": "the batches",
            "network": "what is trained",
            "optimizer": "how",
            "inferer": "how the network is called",
            "train_handlers": "what happens at events; order matters: a later handler sees what earlier ones did",
            "decollate": "split outputs into single items (needless without postprocessing)",
            "prepare_batch": "from a batch to image, label and the network's further arguments",
        },
    ),
    "monai.engines.SupervisedEvaluator": (
        "The engine that runs a network over validation or test scans and measures.",
        {
            "device": "where to compute",
            "val_data_loader": "the scans",
            "network": "what is measured",
            "inferer": "how the network is called",
            "prepare_batch": "from a batch to image, label and the network's further arguments",
            "postprocessing": "transforms of the outputs",
            "key_val_metric": "the metric by which the best weights are told",
            "additional_metrics": "further metrics, by name",
            "val_handlers": "what happens at events",
        },
    ),
    "monai.handlers.CheckpointLoader": (
        "Loads weights when the engine starts.",
        {
            "load_path": "the file",
            "load_dict": "what takes the weights (a lone entry takes a plain state dict)",
            "map_location": "device to load to",
            "strict": "whether every name must be there on both sides",
            "strict_shape": "whether layers of another shape are an error; false: they keep their fresh weights",
        },
    ),
    "monai.handlers.EarlyStopHandler": (
        "Ends training when validation has stopped getting better.",
        {"patience": "validations without a better score", "score_function": "the score, larger is better"},
    ),
    "monai.handlers.LrScheduleHandler": (
        "Steps a learning-rate schedule after every epoch.",
        {"lr_scheduler": "the schedule", "print_lr": "whether to print every step"},
    ),
    "monai.handlers.MLFlowHandler": (
        "Logs losses, metrics and pictures to MLflow.",
        {
            "tracking_uri": "the database",
            "experiment_name": "which runs belong together",
            "run_name": "the run; training and validation log to the same",
            "iteration_log": "whether to log every iteration besides every epoch",
            "artifacts": "files and folders that are logged at the end",
            "close_on_complete": "mark the run as finished at the end",
        },
    ),
    "monai.handlers.MetricsSaver": (
        "Writes metrics as CSV.",
        {
            "save_dir": "folder",
            "metrics": "names of metrics, `*` for all",
            "metric_details": "names of metrics to be written per image",
            "batch_transform": "what gives the file names of a batch for these",
            "summary_ops": "statistics over images for these",
        },
    ),
    "monai.handlers.StatsHandler": (
        "Prints metrics.",
        {"iteration_log": "whether after every iteration besides every epoch", "name": "of the logger"},
    ),
    "monai.handlers.TensorBoardStatsHandler": (
        "Logs metrics to TensorBoard.",
        {"log_dir": "folder", "iteration_log": "whether after every iteration besides every epoch"},
    ),
    "monai.handlers.ValidationHandler": (
        "Runs the evaluator during training.",
        {
            "validator": "the evaluator",
            "epoch_level": "count epochs, not iterations",
            "interval": "epochs from one validation to the next",
        },
    ),
    "monai.inferers.SimpleInferer": ("Calls the network on the whole input.", {}),
    "monai.transforms.CenterSpatialCropd": (
        "Cuts out the middle.",
        {"keys": "entries it applies to", "roi_size": "size per axis, -1: all of it"},
    ),
    "monai.transforms.Compose": ("Transforms in a row.", {"transforms": "the list"}),
    "monai.transforms.CopyItemsd": (
        "Copies entries.",
        {"keys": "entries that are copied", "names": "of the copies"},
    ),
    "monai.transforms.RandSpatialCropd": (
        "Cuts out a random part.",
        {
            "keys": "entries it applies to (all at the same place)",
            "roi_size": "size per axis, -1: all of it",
            "random_size": "whether the size is random too",
        },
    ),
    "monai.transforms.SqueezeDimd": ("Drops an axis of size 1.", {"keys": "entries it applies to", "dim": "the axis"}),
    "torch.nn.parallel.DistributedDataParallel": (
        "Averages gradients over processes.",
        {
            "device_ids": "the GPU of the process; null on a CPU",
            "find_unused_parameters": "allow steps that leave parameters out (other heads, the style encoder)",
        },
    ),
    "torch.optim.Adam": (
        "Optimiser.",
        {"params": "what it moves", "lr": "learning rate", "betas": "memory of the first and second moment"},
    ),
    "torch.optim.AdamW": (
        "Optimiser.",
        {
            "params": "what it moves",
            "lr": "learning rate",
            "betas": "memory of the first and second moment",
            "weight_decay": "share of a weight taken away per step, times the learning rate",
        },
    ),
}


def configs() -> Iterator[tuple[pathlib.Path, Any]]:
    """Configs of the bundles and all overlays in JSON."""
    for path in sorted([*ROOT.glob("bundles/*/configs/*.json"), *ROOT.glob("configs/**/*.json")]):
        if path.name != "metadata.json":
            yield path, json.loads(path.read_text(encoding="utf-8"))


def parts(config: Any) -> Iterator[tuple[str, set[str]]]:
    """Every `_target_` of a config with the names of its arguments."""
    if isinstance(config, dict):
        for key, value in config.items():
            # An overlay may change the class alone, as `a#b#_target_`.
            if key.split("#")[-1] == "_target_":
                yield value, {name for name in config if key == "_target_" and not name.startswith("_")}
    for value in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        yield from parts(value)


def described(target: str) -> tuple[str, dict[str, str]]:
    """Purpose and arguments of a part."""
    if target in OTHERS:
        return OTHERS[target]
    found = pydoc.locate(target)
    if found is None:
        raise LookupError(f"{target} is named in a config and does not exist")
    text = inspect.getdoc(found) or ""
    arguments: dict[str, str] = {}
    section = re.search(r"^(?:Args|Attributes):\n((?:[ ]+.*\n?|\n)+)", text, re.M)
    for line in (section.group(1) if section else "").splitlines():
        if entry := re.match(r" {4}(\w+): (.*)", line):
            arguments[entry[1]] = entry[2]
        elif line.strip():
            arguments[next(reversed(arguments))] += " " + line.strip()
    parent = described(PARENTS[target])[1] if target in PARENTS else {}
    return text.splitlines()[0], {**parent, **arguments}


def page() -> str:
    """The page's text."""
    used: dict[str, set[str]] = {}
    for _, config in configs():
        for target, names in parts(config):
            used.setdefault(target, set()).update(names)
    lines = [INTRO]
    for target in sorted(used, key=lambda name: (not name.startswith("med_stylesr"), name)):
        purpose, arguments = described(target)
        missing = used[target] - set(arguments)
        if missing:
            raise LookupError(f"{target}: nothing explains {', '.join(sorted(missing))}")
        lines += [f"## `{target}`\n", f"{purpose}\n"]
        kept = {name: text for name, text in arguments.items() if name not in ("supervised", "paired", "plan")}
        if kept:
            rows = [f"| `{name}` | {text.replace('|', chr(92) + '|')} |" for name, text in kept.items()]
            lines += ["| argument | meaning |", "|---|---|", *rows, ""]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
