"""What a rehearsal compares: rules, each with the settings that it looks at."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from mdsvqa.selection.catalogue import rule_named
from mdsvqa.selection.settings import Space
from mdsvqa.study.config import StudyConfig

RANDOM = "random"


@dataclass(frozen=True)
class Contender:
    """A rule and its settings.

    Attributes:
        name: that tells it from the other contenders.
        rule: by name.
        lambda_, scale: of rules that use them, else None.
        features: in which videos are compared; None where the rule compares none.
    """

    name: str
    rule: str
    lambda_: float | None = None
    scale: str | None = None
    features: Space | None = None

    def settings(self) -> dict[str, Any]:
        """What it says about `SelectionSettings`."""
        given = {"rule": self.rule, "lambda_": self.lambda_, "scale": self.scale, "features": self.features}
        return {name: value for name, value in given.items() if value is not None}

    def applied(self, config: StudyConfig) -> StudyConfig:
        """The study with this rule."""
        return config.model_copy(update={"selection": config.selection.model_copy(update=self.settings())})


def contenders(
    rules: Sequence[str], lambdas: Sequence[float], scales: Sequence[str], features: Sequence[Space]
) -> list[Contender]:
    """Every rule with every setting that it looks at, random selection first.

    Args:
        rules: by name.
        lambdas, scales, features: settings to try, at least one each.

    >>> [each.name for each in contenders(["random", "k-means", "mds"], [1.0, 3.0], ["standard"], ["content"])]
    ['random', 'k-means', 'mds lambda=1', 'mds lambda=3']
    """
    found = [Contender(RANDOM, RANDOM)]
    for rule in dict.fromkeys(rules):
        weighed, compared = "lambda_" in rule_named(rule).settings, rule_named(rule).content
        for lambda_, scale, space in product(
            lambdas if weighed else [None], scales if weighed else [None], features if compared else [None]
        ):
            said = [
                f"lambda={lambda_:g}" if weighed and len(lambdas) > 1 and lambda_ is not None else "",
                f"scale={scale}" if weighed and len(scales) > 1 else "",
                f"features={space}" if compared and len(features) > 1 else "",
            ]
            if rule != RANDOM:
                name = " ".join([rule, *filter(None, said)])
                found.append(Contender(name, rule, lambda_, scale, space))
    return found
