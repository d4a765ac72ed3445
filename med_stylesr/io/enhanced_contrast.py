"""Enhanced Contrast/Bolus module (PS3.3 C.7.6.4b): the agents that a single-frame header tells of in words."""

from __future__ import annotations

import copy
from typing import Final

from pydicom.dataset import Dataset

from med_stylesr.io.attributes import number, text, word
from med_stylesr.io.derivation import Code

AGENTS: Final = "ContrastBolusAgentSequence"
_AGENT: Final = Code("7140000", "SCT", "Contrast agent")
"""For agents that are named but not coded."""
_ROUTES: Final = {
    "INTRAVEN": Code("47625008", "SCT", "Intravenous route"),
    "IV": Code("47625008", "SCT", "Intravenous route"),
    "ORAL": Code("26643006", "SCT", "Oral route"),
    "RECTAL": Code("37161004", "SCT", "Per rectum"),
    "ARTERIAL": Code("58100008", "SCT", "Intra-arterial route"),
    "THECAL": Code("72607000", "SCT", "Intrathecal route"),
}
_UNKNOWN_ROUTE: Final = Code("261665006", "SCT", "Unknown")
_NONE: Final = ("NO", "NONE", "N/A", "WITHOUT")


def contrast_agents(header: Dataset) -> list[Dataset]:
    """Items of ContrastBolusAgentSequence as Enhanced CT asks for, empty when no agent is known to have been used.

    Args:
        header: of a single-frame CT image, which stays as it is; an agent that only has a name in it is coded as a
            contrast agent.
    """
    coded = list(header.get(AGENTS) or [])
    if coded and all("ContrastBolusAgentNumber" in i and _whole(i) for i in coded):
        return coded
    named, route = text(header, "ContrastBolusAgent"), text(header, "ContrastBolusRoute")
    if not coded and (named.upper() in _NONE or not (named or route or number(header, "ContrastBolusVolume"))):
        return []
    # An agent has one route, so what went two ways is two agents.
    routes = _routes(header, route)
    agents = copy.deepcopy(coded) or [_AGENT.dataset() for _ in routes]
    volume = word(header, "ContrastBolusVolume") if number(header, "ContrastBolusVolume") is not None else ""
    for count, agent in enumerate(agents, 1):
        agent.ContrastBolusAgentNumber = count
        agent.ContrastBolusAdministrationRouteSequence = [routes[min(count, len(routes)) - 1]]
        agent.ContrastBolusIngredientCodeSequence = []
        # The volume is that of all agents together.
        agent.ContrastBolusVolume = volume if len(agents) == 1 else ""
        agent.ContrastBolusIngredientConcentration = ""
    return agents


def _whole(agent: Dataset) -> bool:
    asked = ("ContrastBolusVolume", "ContrastBolusIngredientConcentration", "ContrastBolusIngredientCodeSequence")
    return bool(agent.get("ContrastBolusAdministrationRouteSequence")) and all(keyword in agent for keyword in asked)


def _routes(header: Dataset, told: str) -> list[Dataset]:
    given = header.get("ContrastBolusAdministrationRouteSequence")
    if given:
        return list(given)
    found = dict.fromkeys(code for name, code in _ROUTES.items() if name in told.upper())
    return [code.dataset() for code in found] or [_UNKNOWN_ROUTE.dataset()]
