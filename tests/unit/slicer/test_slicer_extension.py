"""The extension is complete, runs on the oldest Python that Slicer has, and imports nothing it must not."""

from __future__ import annotations

import ast
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import jsonschema
import pytest
from slicer_fake_engine import LIBRARY

EXTENSION = LIBRARY.parent
SCRIPTS = sorted(EXTENSION.rglob("*.py"))
UI = LIBRARY / "Resources" / "UI" / "MedStyleSR.ui"
# Slicer/Slicer, Schemas/slicer-extension-catalog-entry-schema-v1.0.1.json
CATALOGUE_ENTRY = {
    "type": "object",
    "required": ["$schema", "category", "scm_url"],
    "additionalProperties": False,
    "properties": {
        **{
            name: {"type": "string"}
            for name in ("$schema", "category", "scm_url", "scm_revision", "build_subdirectory")
        },
        "scm_type": {"enum": ["git", "local"]},
        "build_dependencies": {"type": "array", "items": {"type": "string"}},
        "enabled": {"type": "boolean"},
        "tier": {"enum": [1, 3, 5]},
    },
}


def listed(text: str, variable: str) -> set[str]:
    found = re.search(rf"set\({variable}\n(.*?)\)", text, re.DOTALL)
    assert found
    return set(found.group(1).replace("${MODULE_NAME}", "MedStyleSR").split())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_python_3_9_and_import_neither_torch_nor_the_package(script: Path) -> None:
    tree = ast.parse(script.read_text(), feature_version=(3, 9))
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        for name in names:
            assert name.partition(".")[0] not in ("torch", "monai", "med_stylesr", "SimpleITK", "pydicom"), name
        # What 3.9 parses and cannot do: X | Y outside of annotations, zip(strict=…), match.
        if isinstance(node, ast.Call):
            assert not any(keyword.arg == "strict" for keyword in node.keywords), ast.unparse(node)


@pytest.mark.parametrize("script", [p for p in SCRIPTS if p.name not in ("i18n.py",)], ids=lambda path: path.name)
def test_rooms_are_small_and_described(script: Path) -> None:
    text = script.read_text()
    assert len(text.splitlines()) <= 330
    assert ast.get_docstring(ast.parse(text))


def test_every_script_and_resource_is_listed_or_slicer_would_not_package_it() -> None:
    text = (LIBRARY / "CMakeLists.txt").read_text()
    scripts = {str(p.relative_to(LIBRARY)) for p in SCRIPTS if "Testing" not in p.parts}
    assert listed(text, "MODULE_PYTHON_SCRIPTS") == scripts
    resources = {str(p.relative_to(LIBRARY)) for p in (LIBRARY / "Resources").rglob("*.*")}
    assert listed(text, "MODULE_PYTHON_RESOURCES") == resources
    tests = (LIBRARY / "Testing" / "Python" / "CMakeLists.txt").read_text()
    for script in (LIBRARY / "Testing" / "Python").glob("*.py"):
        assert f"SCRIPT {script.name}" in tests


def test_the_catalogue_entry_follows_slicer_s_schema() -> None:
    jsonschema.validate(json.loads((EXTENSION / "MedStyleSR.json").read_text()), CATALOGUE_ENTRY)


def test_pictures_that_the_catalogue_shows_are_there_and_of_its_size() -> None:
    cmake = (EXTENSION / "CMakeLists.txt").read_text()
    for url in re.findall(r"https://raw\S+?\.png", cmake):
        picture = EXTENSION.parents[1] / url.partition("/main/")[2]
        assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    header = (EXTENSION / "MedStyleSR.png").read_bytes()[16:24]
    assert [int.from_bytes(header[:4], "big"), int.from_bytes(header[4:], "big")] == [128, 128]


def test_the_readme_says_that_it_was_not_run_in_the_application_here() -> None:
    assert "not run inside the Slicer application" in " ".join((EXTENSION / "README.md").read_text().split())


def test_every_widget_that_the_code_speaks_of_is_in_the_ui_file_and_every_parameter_exists() -> None:
    tree = ElementTree.parse(UI)
    names = {widget.get("name") for widget in tree.iter("widget")}
    used = {name for path in SCRIPTS for name in re.findall(r"\bui\.([a-zA-Z]+)", path.read_text())}
    assert used <= names, used - names
    parameters = set(re.findall(r"^    (\w+): ", (LIBRARY / "MedStyleSRLib" / "parameters.py").read_text(), re.M))
    bound = {
        prop.findtext("string") for prop in tree.iter("property") if prop.get("name") == "SlicerParameterName"
    }  # fmt: skip
    assert bound <= parameters, bound - parameters


def test_what_users_read_goes_through_the_translator() -> None:
    """Words in calls that show something; formats of numbers are no words."""
    shown = re.compile(r"(?:setText|setToolTip|_tell|tell|addItem|_show|toolTip =)\(?\s*\"[A-Za-z]{2}")
    for path in SCRIPTS:
        assert not shown.search(path.read_text()), path.name
