"""Every request of the OpenAPI description, filled by schemathesis with what fits it and with what does not."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation.modes import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
)

from mdsvqa.labeling.collecting import organiser
from mdsvqa.labeling.web.app import described
from mdsvqa.labeling.web.context import ORGANISER, RATER
from mdsvqa.labeling.web.guards import Rates
from mdsvqa.study.labeling import LabelingSettings
from rating_study import ADDRESS, Browser, Study, prepared_of

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, negative_data_rejection]
EXAMPLES = 10
# What a refusal may say; nothing of what came in.
REFUSED = {"error", "where", "vote", "seconds", "disturbed"}


class NoLimits(Rates):
    """All limits but that of the password: the fuzzer is one address."""

    PER_COOKIE = PER_ADDRESS = (1e9, 1e9)


class Fuzzed:
    """A study with a rater at the first slot and an organiser, whatever was forgotten or ended meanwhile."""

    def __init__(self, study: Study) -> None:
        self.study, self.rater = study, Browser(study.app, study.clock)
        self.page: Any = None

    def kept(self) -> tuple[int, int]:
        """How many votes and plays there are."""
        (row,) = self.study.rows("SELECT (SELECT count(*) FROM votes) AS votes, (SELECT count(*) FROM plays) AS plays")
        return row["votes"], row["plays"]

    def headers(self, path: str) -> dict[str, str]:
        found = {"Origin": ADDRESS}
        if path.startswith("/api/organiser"):
            cookie, token = self.study.store.write(lambda c: organiser.open_session(c, self.study.clock()))
            return {**found, "X-Token": token, "Cookie": f"{ORGANISER}={cookie}"}
        if self.rater.client.get("/api/state").status_code != 200:
            self.rater = Browser(self.study.app, self.study.clock)
            ((_, link),) = self.study.invite()
            self.page = self.rater.to_first_slot(link)
        return {**found, "X-Token": self.rater.token, "Cookie": f"{RATER}={self.rater.client.cookies[RATER]}"}


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Iterator[Fuzzed]:
    study = Study(tmp_path_factory.mktemp("fuzzed"), prepared_of(clip), LabelingSettings(), time.time)
    object.__setattr__(study.running, "rates", NoLimits())
    study.app._rates = study.running.rates  # type: ignore[attr-defined]
    study.store.write(lambda c: organiser.set_password(c, "correct horse", time.time()))
    yield Fuzzed(study)
    study.store.close()


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_requests_that_no_page_makes_get_a_clean_answer(fuzzed: Fuzzed, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_dict(described(fuzzed.study.running))
    schema.app = fuzzed.study.app
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 20
    for operation in operations:
        try:
            with_cases(fuzzed, operation.as_strategy(generation_mode=mode))
        except Unsatisfiable:
            # What has nothing to fill in, or only words, cannot be filled in wrongly.
            assert mode is GenerationMode.NEGATIVE
            assert not operation.body
    assert fuzzed.kept() == (0, 0)


def with_cases(fuzzed: Fuzzed, strategy: Any) -> None:
    @given(case=strategy)
    @settings(max_examples=EXAMPLES, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def answered(case: Any) -> None:
        answer = case.call(base_url=ADDRESS, headers=fuzzed.headers(case.path))
        case.validate_response(answer, checks=CHECKS)
        assert answer.status_code < 500
        assert "content-security-policy" in {name.lower() for name in answer.headers}
        if answer.status_code >= 400:
            assert set(answer.json()) <= REFUSED
            assert answer.json()["error"].replace("_", "").isalpha()
        # No slot was guessed, so nothing can have been said of one.
        assert fuzzed.kept() == (0, 0)
        assert fuzzed.study.browser().client.get("/").status_code == 200

    answered()
