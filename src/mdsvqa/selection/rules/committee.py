"""Query by committee: the videos on which models trained on other parts of the labels disagree most.

Source: Seung et al. (1992), Query by committee.
"""

from mdsvqa.selection.base import Rule
from mdsvqa.selection.rules.most_difficult import most_difficult

RULES = (
    Rule(
        "committee",
        most_difficult,
        label="committee",
        takes="where models trained on other labels disagree",
        use="for a model that is refitted in seconds",
        difficulty="committee",
        content=False,
    ),
)
