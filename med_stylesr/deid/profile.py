"""De-identification profiles: YAML files that say which options of PS3.15 Annex E apply, and own rules on top."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import yaml
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

from med_stylesr.deid.table import DATE_OPTIONS, OPTIONS
from med_stylesr.errors import UsageError

ACTIONS: Final = ("remove", "empty", "dummy", "keep", "clean", "pseudonym", "uid", "date")
FREE_TEXT: Final = ("vocabulary", "search")
BURNED_IN: Final = ("refuse", "black_out")
HEADS: Final = ("ignore", "refuse", "deface")
_MAX_BYTES: Final = 1_000_000


@dataclass(frozen=True)
class OwnRule:
    """A rule of the profile's author: wins over the standard's tables.

    Attributes:
        action: one of `ACTIONS`.
        tag: the tag it is for, or None.
        vr: the VR it is for, or None.
        keyword: pattern that the whole keyword must match, or None.
    """

    action: str
    tag: int | None = None
    vr: str | None = None
    keyword: re.Pattern[str] | None = None

    def applies(self, tag: int) -> bool:
        """Whether the rule is for this tag."""
        if self.tag is not None:
            return tag == self.tag
        try:
            vrs = dictionary_VR(tag).split(" or ")
        except KeyError:
            return False
        if self.vr is not None:
            return self.vr in vrs
        return bool(self.keyword and self.keyword.fullmatch(keyword_for_tag(tag)))


@dataclass(frozen=True)
class Region:
    """Pixels that a kind of device is known to write text into: [top, bottom) rows, [left, right) columns.

    A negative number counts from the end; an attribute pattern that is None matches everything.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    modality: str | None = None
    manufacturer: re.Pattern[str] | None = None
    model: re.Pattern[str] | None = None


@dataclass(frozen=True)
class Profile:
    """What is done with each attribute; see docs/how-to/deidentify.md for the YAML.

    Attributes:
        name: short name, written into DeidentificationMethod.
        description: one sentence for people.
        options: options of PS3.15 table E.1-1 (keys of `table.OPTIONS`).
        free_text: "vocabulary" keeps only plain words in cleaned text, "search" removes what was found.
        extra_words: lower-case words that are plain in this profile.
        max_shift_days: largest date offset in days.
        whole_weeks: shift by whole weeks.
        max_age_years: the highest age that is told.
        burned_in: what to do with pixels that hold, or may hold, text.
        regions: where devices write text.
        heads: what to do with scans that show a face.
        private: safe private attributes kept on top of the standard's: (creator, group, element byte).
        rules: own rules, the first that applies wins.
    """

    name: str
    description: str
    options: frozenset[str]
    free_text: str
    extra_words: tuple[str, ...]
    max_shift_days: int
    whole_weeks: bool
    max_age_years: int
    burned_in: str
    regions: tuple[Region, ...]
    heads: str
    private: frozenset[tuple[str, int, int]]
    rules: tuple[OwnRule, ...]

    def own_action(self, tag: int) -> str | None:
        """Action of the first own rule for this tag."""
        return next((rule.action for rule in self.rules if rule.applies(tag)), None)


def load_profile(name_or_path: str) -> Profile:
    """Load a profile by the name of a shipped one, or from a YAML file.

    Raises:
        UsageError: if there is no such profile or it does not follow the schema.
    """
    path = profile_file(name_or_path)
    if path.stat().st_size > _MAX_BYTES:
        raise UsageError(str(path), "is too large for a profile")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise UsageError(str(path), f"cannot be read as YAML ({error})") from error
    return parse_profile(content, str(path))


def profile_file(name_or_path: str) -> pathlib.Path:
    """The file of a profile.

    Raises:
        UsageError: if there is no such profile.
    """
    shipped = profile_folder() / f"{name_or_path}.yaml"
    simple = re.fullmatch(r"[A-Za-z0-9_-]+", name_or_path)
    path = shipped if simple and shipped.is_file() else pathlib.Path(name_or_path)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in profile_folder().glob("*.yaml")))
        raise UsageError(name_or_path, "is neither a shipped profile nor a file", f"shipped profiles: {known}")
    return path


def profile_folder() -> pathlib.Path:
    """Folder of the shipped profiles: in an installed package inside it, in a checkout beside it."""
    package = pathlib.Path(__file__).resolve().parents[1]
    inside = package / "configs" / "deid"
    return inside if inside.is_dir() else package.parent / "configs" / "deid"


def parse_profile(content: Any, origin: str) -> Profile:
    """Check a profile against the schema.

    Args:
        content: what YAML gave.
        origin: named in errors.

    Raises:
        UsageError: naming the first key that is wrong.
    """
    if not isinstance(content, dict):
        raise UsageError(origin, "a profile is a mapping of settings")
    reader = _Reader(content, origin)
    options = frozenset(reader.strings("options"))
    if unknown := sorted(options - set(OPTIONS)):
        reader.fail("options", f"knows no {', '.join(unknown)}; known are {', '.join(OPTIONS)}")
    if options >= set(DATE_OPTIONS):
        reader.fail("options", "cannot keep full and modified dates at once")
    profile = Profile(
        name=reader.text("name", r"[A-Za-z0-9_-]{1,32}"),
        description=reader.text("description", r".{1,300}"),
        options=options,
        free_text=reader.choice("free_text", FREE_TEXT),
        extra_words=tuple(word.casefold() for word in reader.strings("extra_words")),
        max_shift_days=reader.number("max_shift_days", 7, 36500),
        whole_weeks=reader.flag("whole_weeks"),
        max_age_years=reader.number("max_age_years", 17, 89),
        burned_in=reader.choice("burned_in", BURNED_IN),
        regions=reader.entries("regions", _region),
        heads=reader.choice("heads", HEADS),
        private=frozenset(reader.entries("private", _private)),
        rules=reader.entries("rules", _rule),
    )
    if profile.burned_in == "black_out" and "clean_pixel_data" not in options:
        reader.fail("burned_in", "black_out needs the option clean_pixel_data")
    if profile.heads == "deface" and "clean_recognizable_visual_features" not in options:
        reader.fail("heads", "deface needs the option clean_recognizable_visual_features")
    reader.nothing_left()
    return profile


class _Reader:
    """Takes settings out of a mapping one by one, and complains about the first that is wrong or left over."""

    def __init__(self, content: dict[Any, Any], origin: str) -> None:
        self._content = dict(content)
        self._origin = origin

    def fail(self, key: str, why: str) -> None:
        raise UsageError(f"{self._origin}: {key}", why, "see docs/how-to/deidentify.md")

    def _take(self, key: str, kind: type) -> Any:
        if key not in self._content:
            self.fail(key, "is missing")
        value = self._content.pop(key)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self.fail(key, f"must be of type {kind.__name__}")
        return value

    def text(self, key: str, pattern: str) -> str:
        value: str = self._take(key, str)
        if not re.fullmatch(pattern, value):
            self.fail(key, f"must match {pattern}")
        return value

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        value: str = self._take(key, str)
        if value not in choices:
            self.fail(key, f"must be one of {', '.join(choices)}")
        return value

    def number(self, key: str, low: int, high: int) -> int:
        value: int = self._take(key, int)
        if not low <= value <= high:
            self.fail(key, f"must lie in {low} … {high}")
        return value

    def flag(self, key: str) -> bool:
        value: bool = self._take(key, bool)
        return value

    def strings(self, key: str) -> list[str]:
        values: list[str] = self._take(key, list)
        if not all(isinstance(v, str) for v in values):
            self.fail(key, "must be a list of words")
        return values

    def entries(self, key: str, parse: Callable[[dict[str, Any]], Any]) -> tuple[Any, ...]:
        parsed = []
        for entry in self._take(key, list):
            try:
                parsed.append(parse(dict(entry)))
            except (KeyError, TypeError, ValueError, re.error) as error:
                self.fail(key, f"cannot be read: {entry} ({error})")
        return tuple(parsed)

    def nothing_left(self) -> None:
        if self._content:
            self.fail(str(sorted(map(str, self._content))[0]), "is no setting of a profile")


def _rule(entry: dict[str, Any]) -> OwnRule:
    action = entry.pop("action")
    if action not in ACTIONS:
        raise ValueError(f"action must be one of {', '.join(ACTIONS)}")
    ((kind, value),) = entry.items()
    if kind == "tag":
        return OwnRule(action, tag=_tag(value))
    if kind == "vr":
        return OwnRule(action, vr=str(value))
    if kind == "keyword":
        return OwnRule(action, keyword=re.compile(str(value)))
    raise ValueError("a rule names a tag, a vr or a keyword")


def _tag(value: Any) -> int:
    text = str(value)
    named = tag_for_keyword(text)
    if named is not None:
        return named
    digits = text.strip("()").replace(",", "").replace(" ", "")
    if not re.fullmatch("[0-9A-Fa-f]{8}", digits):
        raise ValueError(f"{text} is neither a keyword nor a tag (gggg,eeee)")
    return int(digits, 16)


def _private(entry: dict[str, Any]) -> tuple[str, int, int]:
    group, element = int(str(entry.pop("group")), 16), int(str(entry.pop("element")), 16)
    creator = str(entry.pop("creator"))
    if entry or group % 2 == 0 or not 0 <= element <= 0xFF:
        raise ValueError("a private attribute has a creator, an odd group and an element 00 … FF, in hexadecimal text")
    return creator, group, element


def _region(entry: dict[str, Any]) -> Region:
    def pattern(key: str) -> re.Pattern[str] | None:
        value = entry.pop(key, None)
        return None if value is None else re.compile(str(value), re.IGNORECASE)

    (top, bottom), (left, right) = entry.pop("rows"), entry.pop("columns")
    region = Region(
        (int(top), int(bottom)),
        (int(left), int(right)),
        entry.pop("modality", None),
        pattern("manufacturer"),
        pattern("model"),
    )
    if entry:
        raise ValueError(f"unknown {', '.join(entry)}")
    return region
