import pytest

from inventory_assets.s3.decoding.page import Echo
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.response_echo import contradiction
from inventory_assets.s3.store_profile import Echoed, StoreProfile

ALL = StoreProfile(echoes=frozenset(Echoed), only_if_sent=frozenset(Echoed))
ASKED = PageRequest("a b/", start_after="a b/+c")


@pytest.mark.parametrize("prefix", ["a b/", "a+b/", "a%20b%2F"])
@pytest.mark.parametrize("start_after", ["a b/+c", "a+b/%2Bc", "a%20b/%2Bc"])
def test_an_echo_in_any_encoding_matches(prefix: str, start_after: str) -> None:
    echo = Echo("bucket", prefix, start_after, None, "1000", None)
    assert contradiction(ASKED, echo, "bucket", ALL) is None


@pytest.mark.parametrize(
    ("echo", "name"),
    [
        (Echo("other", "a b/", "a b/+c"), "Name"),
        (Echo("bucket", "b/", "a b/+c"), "Prefix"),
        (Echo("bucket", "a b/", "a b/d"), "StartAfter"),
        (Echo("bucket", "a b/", None), "StartAfter"),
        (Echo("bucket", "a b/", "a b/+c", "token"), "ContinuationToken"),
        (Echo("bucket", "a b/", "a b/+c", None, "1001"), "MaxKeys"),
        (Echo("bucket", "a b/", "a b/+c", None, "1000", "/"), "Delimiter"),
    ],
)
def test_the_response_to_another_request_is_detected(echo: Echo, name: str) -> None:
    assert contradiction(ASKED, echo, "bucket", ALL) == name


def test_parameters_that_a_store_does_not_echo_correctly_are_not_compared() -> None:
    echo = Echo("alias", "somewhere/", None, None, "many")
    assert contradiction(ASKED, echo, "bucket", StoreProfile()) is None


def test_a_request_with_a_token_has_no_start_after_to_repeat() -> None:
    asked = PageRequest("p", token="t1")
    assert contradiction(asked, Echo("b", "p", None, "t1"), "b", ALL) is None
    assert contradiction(asked, Echo("b", "p", None, "t0"), "b", ALL) == "ContinuationToken"


@pytest.mark.parametrize(
    ("echo", "name"),
    [
        (Echo("bucket", "p", "p1"), Echoed.START_AFTER),
        (Echo("bucket", "p", None, "t1"), Echoed.TOKEN),
    ],
)
def test_a_parameter_that_was_not_sent_shows_another_request(echo: Echo, name: Echoed) -> None:
    asked = PageRequest("p")
    lacking = StoreProfile(only_if_sent=frozenset({name}))
    assert contradiction(asked, echo, "bucket", lacking) == name
    assert contradiction(asked, echo, "bucket", StoreProfile()) is None
    assert contradiction(asked, Echo("bucket", "q"), "bucket", lacking) is None
