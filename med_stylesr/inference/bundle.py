"""Loading a trained bundle: its network, weights and metadata, through MONAI's own config parser."""

from __future__ import annotations

import hashlib
import io
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

_RESOLVED = "network"


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
        UsageError: if the bundle is incomplete, or weights and config do not fit.
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
    models, told = CachedModels(stored, config.read_bytes(), metadata, *quantised), json.loads(metadata)
    network = _network(path, config, models)
    try:
        state = torch.load(io.BytesIO(stored), map_location="cpu", weights_only=True)
        network.load_state_dict(state.get("network", state))
    except (RuntimeError, OSError, ValueError, AttributeError) as error:
        raise UsageError(f"bundle {path.name}", f"weights do not fit its config: {error}", "retrain it") from error
    return LoadedBundle(
        path=path,
        name=path.name,
        version=str(told["version"]),
        network=network.to(device).eval(),
        weights_sha256=hashlib.sha256(stored).hexdigest(),
        models=models,
        style_reference=bool(told.get("style_reference", False)),
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
    from monai.bundle.config_item import ConfigComponent
    from monai.bundle.config_parser import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(config))
    parser.read_meta(str(path / "configs" / "metadata.json"))
    parser["bundle_root"] = str(path)
    described = parser.get_parsed_content("network_def", instantiate=False)
    component = isinstance(described, ConfigComponent)
    network = described.instantiate() if component else described
    if type(network) is not StyleSRGenerator:
        raise UsageError(f"bundle {path.name}", f"its network is a {type(network).__name__}, not a StyleSRGenerator")
    # Macros and expressions may depend on more than the files that the cache goes by.
    if component and not any(sign in json.dumps(parser.get("network_def")) for sign in ("%", "$")):
        models.keep(_RESOLVED, described.resolve_args())
    return network
