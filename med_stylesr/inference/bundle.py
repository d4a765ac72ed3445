"""Loading a trained bundle: its network, weights and metadata, through MONAI's own config parser."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch

from med_stylesr.errors import UsageError
from med_stylesr.inference.bundle_folder import find_bundle
from med_stylesr.inference.model_cache import CachedModels
from med_stylesr.inference.normal_dose import NormalDoseNoise
from med_stylesr.inference.quantised import FILE
from med_stylesr.networks.generator import StyleSRGenerator
from med_stylesr.networks.state_file import read_state

_RESOLVED = "network"
_GENERATOR = f"{StyleSRGenerator.__module__}.{StyleSRGenerator.__qualname__}"


@dataclass(frozen=True)
class LoadedBundle:
    """A bundle ready to run.

    Attributes:
        path: its folder.
        name: name of the folder.
        version: from its metadata.
        network: the generator with its weights, in evaluation mode.
        weights_sha256: of models/model.pt, hexadecimal.
        models: what was made of it for other runtimes.
        style_reference: whether its style encoder was trained, so that a style can be taken from a scan.
        normal_dose: table of the noise of normal-dose scans, if the bundle has one.
    """

    path: Path
    name: str
    version: str
    network: StyleSRGenerator
    weights_sha256: str
    models: CachedModels
    style_reference: bool
    normal_dose: NormalDoseNoise | None = None


def load_bundle(name_or_path: str | Path, device: torch.device) -> LoadedBundle:
    """Build the network that a bundle's inference config describes and load its weights.

    Args:
        name_or_path: see `find_bundle`.
        device: where the network is to run.

    Raises:
        UsageError: if the bundle is incomplete or damaged, or weights and config do not fit.
    """
    path = find_bundle(name_or_path)
    config, weights = path / "configs" / "inference.json", path / "models" / "model.pt"
    for needed in (config, weights):
        if not needed.is_file():
            raise UsageError(
                f"bundle {path.name}", f"has no {needed.relative_to(path)}", "restore or retrain the bundle"
            )
    stored, metadata = weights.read_bytes(), (path / "configs" / "metadata.json").read_bytes()
    quantised = [file.read_bytes() for file in (path / FILE, path / FILE.with_suffix(".bin")) if file.is_file()]
    models = CachedModels(stored, config.read_bytes(), metadata, *quantised)
    try:
        version = str(json.loads(metadata)["version"])
        reference = bool(json.loads(metadata).get("style_reference", False))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"has a damaged configs/metadata.json ({error})"
        raise UsageError(f"bundle {path.name}", why, "restore the bundle") from error
    network = _network(path, config, models)
    state = read_state(stored, f"bundle {path.name}, models/model.pt", "restore the file")
    try:
        network.load_state_dict(state.get("network", state))
    except (RuntimeError, AttributeError, TypeError) as error:
        raise UsageError(f"bundle {path.name}", f"weights do not fit its config: {error}", "retrain it") from error
    return LoadedBundle(
        path=path,
        name=path.name,
        version=version,
        network=network.to(device).eval(),
        weights_sha256=hashlib.sha256(stored).hexdigest(),
        models=models,
        style_reference=reference,
        normal_dose=NormalDoseNoise.of_bundle(path),
    )


def _network(path: Path, config: Path, models: CachedModels) -> StyleSRGenerator:
    """The generator that a config describes, without weights; what it resolves to is kept for the next time.

    Raises:
        UsageError: if it describes something else.
    """
    known = models.record(_RESOLVED)
    if known is not None:
        return StyleSRGenerator(**known)
    # MONAI takes seconds to import: the first load of a bundle pays, and a command that fails earlier does not wait.
    from monai.bundle.config_item import ConfigComponent, ConfigItem
    from monai.bundle.config_parser import ConfigParser

    parser = ConfigParser()
    try:
        parser.read_config(str(config))
        parser["bundle_root"] = str(path)
        described = parser.get_parsed_content("network_def", instantiate=False, eval_expr=False)
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        raise UsageError(f"bundle {path.name}", f"its configs/inference.json cannot be read: {error}") from error
    target = described.get_config().get("_target_") if isinstance(described, ConfigComponent) else described
    if target != _GENERATOR:
        raise UsageError(f"bundle {path.name}", f"its network is {target}, not {_GENERATOR}")
    arguments = described.resolve_args()
    # Nothing of a bundle is run to enhance a scan: whoever trusts a training with code need not trust weights with it.
    computed = next((name for name, value in arguments.items() if isinstance(value, ConfigItem)), None)
    if computed is not None:
        why = f"its configs/inference.json computes {computed} of its network"
        raise UsageError(f"bundle {path.name}", why, "write the value out: configs are not run for inference")
    try:
        network = StyleSRGenerator(**arguments)
    except (TypeError, ValueError) as error:
        raise UsageError(f"bundle {path.name}", f"its network cannot be made: {error}", "correct its config") from error
    # Macros may depend on more than the files that the cache goes by.
    if "%" not in json.dumps(parser.get("network_def")):
        models.keep(_RESOLVED, arguments)
    return network
