"""An inventory of an odd store is correct, or fails with a named error: one case per habit."""

from pathlib import Path

import pytest

from inventory_assets.s3.list_client import ListClient
from inventory_assets_tests.stores.case import Case
from inventory_assets_tests.stores.cases import all_cases
from inventory_assets_tests.stores.listing_runs import Outcome, impatient, list_and_compare
from inventory_assets_tests.stores.odd_server import OddServer
from inventory_assets_tests.stores.odd_store import OddStore
from inventory_assets_tests.stores.report import Noted

CASES = all_cases()


def outcome_of(case: Case, folder: Path) -> Outcome:
    """List the case's bucket over HTTP."""
    store = OddStore(case.bucket(), case.store_habits)
    with OddServer(store) as server:
        lister = ListClient(server.bucket_config(case.in_flight), impatient())
        try:
            return list_and_compare(
                lister,
                store.asked,
                store.holdings,
                folder,
                case.prefix,
                with_versions=case.with_versions,
            )
        finally:
            lister.close()


def assert_expected(case: Case, outcome: Outcome) -> None:
    assert not outcome.difference, outcome.difference
    if outcome.error is not None:
        message = f"{type(outcome.error).__name__}: {outcome.error}"
        assert case.refusal is not None, f"refused, though it can be listed: {message}"
        assert case.allows(message), f"the message does not say {case.refusal}: {message}"
    else:
        assert not case.must_refuse, "there is nothing that could be right"


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(each, id=each.says, marks=[] if each.is_fast else [pytest.mark.stores])
        for each in CASES
    ],
)
def test_a_listing_is_correct_or_refused(case: Case, tmp_path: Path, noted: Noted) -> None:
    outcome = outcome_of(case, tmp_path / "out")
    noted(case.says, outcome)
    assert_expected(case, outcome)


def test_every_case_has_a_name_of_its_own() -> None:
    names = [each.says for each in CASES]
    assert len(set(names)) == len(names)
