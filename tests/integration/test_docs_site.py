"""The documentation builds without a warning, and what it tells to type exists."""

from __future__ import annotations

import ast
import importlib
import pathlib
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from med_stylesr.cli.main import app

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "bundles").glob("*/docs/*.md")])
IDS = [str(page.relative_to(ROOT)) for page in PAGES]


def blocks(page: pathlib.Path, languages: str) -> Iterator[str]:
    for found in re.finditer(rf"^```(?:{languages})\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S):
        yield found[1]


def commands(page: pathlib.Path) -> Iterator[list[str]]:
    """Words after the program's name of every command of a page."""
    for block in blocks(page, "sh|bash|console"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words and pathlib.PurePath(words[0]).name == "med-stylesr":
                yield words[1:]


def options(command: Any) -> set[str]:
    return {"--help", *(name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts))}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_of_a_page_use_verbs_and_options_that_exist(page: pathlib.Path) -> None:
    program = get_command(app)
    for words in commands(page):
        command, known, rest = program, options(program), list(words)
        while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
            assert rest[0] in command.commands, " ".join(words)
            command = command.commands[rest.pop(0)]
            known |= options(command)
        given = {word.split("=")[0] for word in rest if re.fullmatch(r"--?[a-z][\w-]*(=.*)?", word)}
        assert given <= known, " ".join(words)


@pytest.mark.parametrize("page", [page for page in PAGES if any(blocks(page, "python"))], ids=str)
def test_python_of_a_page_imports_what_exists(page: pathlib.Path) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module:
                module = importlib.import_module(node.module)
                assert [name.name for name in node.names if not hasattr(module, name.name)] == []


def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True))
    for page in tmp_path.rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        assert re.findall(r'<(?:script|img|link)[^>]+(?:src|href)="https?://(?!example)[^"]+', html) == [], page
    assert "<math" in (tmp_path / "reference" / "edge-loss" / "index.html").read_text(encoding="utf-8")
