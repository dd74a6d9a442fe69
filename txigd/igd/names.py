"""Python names for the names of the standard. Pure."""

from __future__ import annotations

import re

# Capitals that meet in one run: NATRSIP is two words, which nothing but a list can know.
_ACRONYMS = ("RSIP", "NAT", "WAN", "LAN", "PPP", "DSL", "DNS", "DHCP", "IP")
_WORD = re.compile(
    r"IPv[46]"
    r"|[A-Z]+?(?=IPv[46])"
    r"|[A-Z]+(?=[A-Z][a-z]|[^A-Za-z]|$)[0-9]*"
    r"|[A-Z]?[a-z]+[0-9]*"
    r"|[A-Z]+[0-9]*"
    r"|[0-9]+"
)


def snake_case(name: str) -> str:
    """``GetNATRSIPStatus`` -> ``get_nat_rsip_status``, ``X_GetICSStatistics`` -> ``x_get_ics_statistics``."""
    return "_".join(word.lower() for run in _WORD.findall(name) for word in _split_run(run))


def keyword_name(argument: str) -> str:
    """The Python name of an argument: without its ``New``, which says nothing."""
    return snake_case(re.sub(r"^New(?=[A-Z])", "", argument))


def result_name(action: str) -> str:
    """The name of the class that holds the out-arguments of an action: ``GetStatusInfo`` -> ``StatusInfo``."""
    return re.sub(r"^Get(?=[A-Z])", "", action)


def _split_run(run: str) -> list[str]:
    """The acronyms that make up a run of capitals, or the run itself."""
    words: list[str] = []
    rest = run
    while rest:
        word = next((acronym for acronym in _ACRONYMS if rest.startswith(acronym)), "")
        if not word:
            return [run]
        words.append(word)
        rest = rest[len(word) :]
    return words
