"""What a message says, and what it never does."""

import json
from email import message_from_bytes, policy

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inventory_assets.alerts.mail import email_of
from inventory_assets.alerts.situation import (
    NAME_CHARACTERS,
    TEXT_CHARACTERS,
    Kind,
    Message,
    Situation,
    State,
    bounded,
)
from inventory_assets.alerts.webhook import slack_payload
from inventory_assets.errors import printable

keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)


def message(text: str, state: State = State.OPEN, url: str = "") -> Message:
    situation = Situation("held_date|2026-11-29", Kind.HELD_DATE, text, day="2026-11-29")
    return Message("logs", state, situation, url)


@given(keys, keys)
@example("it's \" 'quoted' " * 30, "a b " * 100)
@example("'" * 300, '"' * 300)
def test_a_quoted_name_is_printable_and_cut(key: str, other: str) -> None:
    text = bounded(f"shard {key!r} failed: {other!r} comes after it")
    assert text.isprintable()
    assert len(text) <= TEXT_CHARACTERS + 1
    for name in (key, other):
        shown = repr(name)[1:-1]
        shown = printable(" ".join(shown.split()))
        for start in range(len(shown) - NAME_CHARACTERS):
            assert shown[start : start + NAME_CHARACTERS + 1] not in text or _repeats(shown)


def _repeats(shown: str) -> bool:
    """A name of one repeated character may continue in the text around it."""
    return len(set(shown)) <= 2


def test_a_name_whose_quote_is_not_closed_is_cut_and_many_of_them_take_no_time() -> None:
    shown = bounded("it says 'a name " + "of words " * 50).removeprefix("it says '")
    assert len(shown) == NAME_CHARACTERS + 1
    bounded("\\'" * 100_000)  # took minutes when each quote was searched to the end


@given(keys)
def test_no_text_without_spaces_is_long(key: str) -> None:
    words = bounded(f"no object {key} here").split(" ")
    assert max(map(len, words)) <= NAME_CHARACTERS + 3


def test_a_sentence_of_ours_is_left_as_it_is() -> None:
    text = "2026-11-29 is held: 50 of 1,000 requests failed, the shard's evidence of 'a b/' holds"
    assert bounded(text) == text


@given(keys)
def test_slack_reads_no_markup_in_a_message(key: str) -> None:
    text = slack_payload(message(f"{key}<!channel> & <https://evil.example|click>"))["text"]
    assert "<" not in text
    assert ">" not in text


@pytest.mark.parametrize("mention", ["@channel", "@all", "@here", "@ada"])
def test_what_is_compatible_with_slack_sees_no_mention(mention: str) -> None:
    url = "https://ui.example/@ada"
    text = slack_payload(message(f"shard 'a {mention}/' failed", url=url))["text"]
    assert mention not in text.replace(url, "")
    assert f"<{url}|open>" in text


def test_slack_gets_a_title_a_text_and_a_link() -> None:
    found = slack_payload(message("why", State.RESOLVED, "https://ui.example/runs/1"))
    assert found == {
        "text": "🟢 *logs: held date 2026-11-29 (resolved)*\nwhy\n<https://ui.example/runs/1|open>"
    }


def test_the_document_of_a_webhook_has_the_documented_fields() -> None:
    assert json.loads(json.dumps(message("why", url="https://ui.example").as_json())) == {
        "version": 1,
        "source": "logs",
        "kind": "held_date",
        "state": "open",
        "key": "held_date|2026-11-29",
        "date": "2026-11-29",
        "title": "logs: held date 2026-11-29",
        "text": "why",
        "run_id": "",
        "url": "https://ui.example",
    }


@given(keys)
@example("x\r\nBcc: eve@example.com\r\n\r\nbody")
def test_no_text_adds_a_header_to_a_mail(key: str) -> None:
    mail = email_of(message(key), "inventory@example.com", ("ops@example.com",))
    read = message_from_bytes(bytes(mail), policy=policy.default)
    assert set(read.keys()) == set(mail.keys())
    assert read["To"] == "ops@example.com"
    assert read["Subject"] == "[inventory] logs: held date 2026-11-29"
