"""`med-stylesr export`: a bundle's network for another runtime."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Target(str, Enum):
    """What to export to."""

    onnx = "onnx"
    openvino = "openvino"
    torchscript = "torchscript"
    mobile = "mobile"


class ExportPrecision(str, Enum):
    """Of the convolutions."""

    float32 = "float32"
    float16 = "float16"


def export(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="Bundle folder, or the name of a shipped one.")],
    runtime: Annotated[Target, typer.Option(help="Format of the model.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the model; made if needed.")],
    scale: Annotated[
        str | None,
        typer.Option(metavar="'Y X'", help="Factors, in quotes ('2 2'; of a 3D bundle '2 1 1'). [default: the first]"),
    ] = None,
    style: Annotated[str | None, typer.Option(help="A style of the bundle. [default: its first]")] = None,
    size: Annotated[
        tuple[int, int] | None,
        typer.Option(metavar="Y X", help="Fix rows and columns. [default: any; 512 512 for mobile]"),
    ] = None,
    precision: Annotated[
        ExportPrecision, typer.Option(help="Of the convolutions; float16 for mobile only.")
    ] = ExportPrecision.float32,
) -> None:
    """Export the network of a bundle as one file: CT in HU in, CT in HU out, the HU lock inside.

    The model has one input, image: a slice with its neighbours, (1, 3, rows, columns), or a slab of a 3D bundle,
    (1, 1, slices, rows, columns). It has two outputs, base and correction; the enhanced CT is
    base + strength * correction, with any strength from 0 (the input) to 1.

    Before it is kept, the model runs a phantom and is held against float32 torch: 0.05 HU at most in any voxel. The
    JSON file beside it names the differences, the SHA-256 of every file, and the weights it was made of.

    For ONNX Runtime: med-stylesr export ldct_stylesr_2d --runtime onnx --out models/

    Twice the rows and columns: med-stylesr export ldct_stylesr_2d --runtime openvino --scale '2 2' --out models/

    mobile is for the compilers of phones' and embedded processors (NPUs): ONNX of opset 13, every shape fixed, nothing
    but convolutions, additions, two activations and resizing. It holds the convolutions alone; what is before them
    (clamping) and after them (HU lock, interpolation) is float32 work for the processor beside it, see
    docs/how-to/export.md.

    For an embedded processor: med-stylesr export ldct_stylesr_2d --runtime mobile --precision float16 --out models/
    """
    from med_stylesr.errors import UsageError

    try:
        factors = None if scale is None else tuple(int(part) for part in scale.replace("x", " ").split())
    except ValueError:
        raise UsageError(f"--scale {scale}", "are no whole numbers", "write them as '2 2'") from None

    import torch

    from med_stylesr.deploy.export import ExportOptions, export_bundle
    from med_stylesr.inference.bundle import load_bundle

    loaded = load_bundle(bundle, torch.device("cpu"))
    network = loaded.network
    scale_of, style_of = factors or tuple(network.scales[0]), style or network.style_names[0]
    options = ExportOptions(runtime.value, scale_of, style_of, size, precision.value)
    record = export_bundle(loaded, options, out)
    for name, digest in record["files"].items():
        typer.echo(f"{out / name}  sha256 {digest}")
    parity = record["parity_with_float32_torch"]
    typer.echo(
        f"differs from float32 torch by at most {parity['max_hu']:.1g} HU, {parity['mean_hu']:.1g} HU on average"
    )
