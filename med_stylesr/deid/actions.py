"""Which action each attribute gets: the profile's own rules, then table E.1-1, then the allow-list, else removal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from med_stylesr.deid.profile import Profile
from med_stylesr.deid.table import Iod, allowed_tags, attribute_rules, denied_tags
from med_stylesr.deid.values import PSEUDONYMS

REMOVE: Final = "remove"
EMPTY: Final = "empty"
DUMMY: Final = "dummy"
KEEP: Final = "keep"
ALLOW: Final = "allow"
CLEAN: Final = "clean"
PSEUDONYM: Final = "pseudonym"
UID: Final = "uid"
DATE: Final = "date"

_CODES: Final = {"X": REMOVE, "Z": EMPTY, "D": DUMMY, "K": KEEP, "C": CLEAN, "U": UID}


@dataclass(frozen=True)
class Decision:
    """What to do with an attribute and where that comes from."""

    action: str
    why: str


def decide(tag: int, profile: Profile, iod: Iod, top: bool) -> Decision:
    """The action for a public attribute in an object of one IOD.

    Source: PS3.15 table E.1-1 and E.1-1a; types of PS3.3 resolve the compound actions.
    """
    own = profile.own_action(tag)
    if own is not None:
        return Decision(own, "profile")
    group = tag >> 16
    if tag & 0xFFFF == 0:
        return Decision(REMOVE, "group length")
    if group in (0x0000, 0x0002) or group >= 0xFFFA:
        return Decision(REMOVE, "no attribute of a data set")
    rule = attribute_rules().get(tag)
    if rule is not None:
        action = resolve(rule.action(profile.options), tag, iod, top)
        if action in (EMPTY, DUMMY) and tag in PSEUDONYMS:
            action = PSEUDONYM
        return Decision(action, "table E.1-1")
    if tag in denied_tags():
        return Decision(REMOVE, "denied")
    if tag in allowed_tags() or tag in iod.also_allowed:
        return Decision(ALLOW, "allow-list")
    return Decision(REMOVE, "not on the allow-list")


def resolve(code: str, tag: int, iod: Iod, top: bool) -> str:
    """One action out of a compound one: the mildest that leaves the object valid.

    Args:
        code: as in the table, for example "X/Z/D".
        tag: the attribute.
        iod: tells whether the attribute is of type 1 or 2.
        top: whether it stands at the outermost level.
    """
    if code in _CODES:
        return _CODES[code]
    if code == "X/Z/U*":
        # References to other instances keep their meaning once their UIDs are replaced.
        return UID
    choices = code.split("/")
    if iod.needs_value(tag, top) and "D" in choices:
        return DUMMY
    if (iod.needs_value(tag, top) or iod.needs_presence(tag, top)) and "Z" in choices:
        return EMPTY
    return _CODES[choices[0]]
