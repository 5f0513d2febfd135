"""The made-up source as fixtures."""

import pytest

from mdsvqa.study.rehearsal.pseudo_targets import PseudoTarget
from mdsvqa.study.rehearsal.repeats import RepeatInputs
from rehearsals import make_inputs, second_data_set


@pytest.fixture
def inputs() -> RepeatInputs:
    return make_inputs()


@pytest.fixture
def target() -> PseudoTarget:
    return second_data_set()
