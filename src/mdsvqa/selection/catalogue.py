"""Every selection rule, one record each. A rule is a file in `rules/` and a line here."""

from collections.abc import Iterator
from importlib import import_module

from mdsvqa.runtime.matching import nearest
from mdsvqa.runtime.settings import ConfigError, in_lower_case
from mdsvqa.selection.base import Rule
from mdsvqa.selection.settings import AUTO

# Modules in `rules/`, in the order in which rules are listed.
MODULES = (
    "mds",
    "random_selection",
    "most_difficult",
    "core_set",
    "k_means",
    "facility_location",
    "difficulty_facility",
    "v_optimal",
    "typiclust",
    "freesel",
    "committee",
)
# What a comparison shows beside rules: f with no new label, and with labels of the whole pool.
BASE, EVERYTHING = "base", "everything"


def _rules() -> Iterator[Rule]:
    for module in MODULES:
        yield from import_module(f"mdsvqa.selection.rules.{module}").RULES


RULES: dict[str, Rule] = {rule.name: rule for rule in _rules()}


def rule_named(name: str) -> Rule:
    """The rule of a name.

    Raises:
        ConfigError: there is none.
    """
    name = in_lower_case(name)
    if name == AUTO:
        raise ConfigError("rule auto asks a rehearsal, and that needs a study: mdsvqa rehearse, or mdsvqa run.")
    if name not in RULES:
        raise ConfigError(
            f"there is no rule {name!r}{nearest(name, RULES)}; expected one of {', '.join(RULES)}, {AUTO}."
        )
    return RULES[name]


def label_of(name: str) -> str:
    """What tables and charts call a rule, or what stands beside rules: `BASE`, `EVERYTHING`, a round."""
    beside = {BASE: "base, no new labels", EVERYTHING: "whole pool labeled"}
    return RULES[name].label if name in RULES else beside.get(name, name.capitalize())
