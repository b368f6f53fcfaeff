"""Which messages are due: one for each situation, again only if it changes, and one at its end."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.alerts.outbox import MAX_OPEN, OUTBOX, SENT_AGAIN_AFTER_SECONDS, Outbox
from inventory_assets.alerts.situation import Kind, Situation, State

WHO = ["mail", "webhook"]
NOW = 1_800_000_000.0


def situation(key: str, text: str = "bad") -> Situation:
    return Situation(key, Kind.ODD_DATE, text)


def told_only_mail(outbox: Outbox) -> Outbox:
    [due] = outbox.pending(["mail"], NOW)
    return outbox.delivered(due)


def deliver_all(outbox: Outbox, names: list[str] | None = None) -> tuple[Outbox, list[str]]:
    """Deliver what is pending; return it as `notifier state key text`."""
    told = []
    for due in list(outbox.pending(names or WHO, NOW)):
        told.append(f"{due.receiver} {due.state} {due.key} {due.situation.text}")
        outbox = outbox.delivered(due)
    return outbox, told


def test_a_situation_is_told_once_to_each() -> None:
    outbox, told = deliver_all(Outbox().updated([situation("a")], {}, WHO))
    assert told == ["mail open a bad", "webhook open a bad"]
    outbox, told = deliver_all(outbox.updated([situation("a")], {}, WHO))
    assert told == []


def test_a_situation_that_changes_is_told_again_and_its_end_too() -> None:
    outbox, _ = deliver_all(Outbox().updated([situation("a")], {}, WHO))
    outbox, told = deliver_all(outbox.updated([situation("a", "worse")], {}, WHO))
    assert told == ["mail changed a worse", "webhook changed a worse"]
    outbox, told = deliver_all(outbox.updated([], {"a": "fine"}, WHO))
    assert told == ["mail resolved a fine", "webhook resolved a fine"]
    outbox = outbox.updated([], {}, WHO)
    assert outbox.followed == {}


def test_an_end_without_a_sentence_is_not_told() -> None:
    outbox, _ = deliver_all(Outbox().updated([situation("a")], {}, WHO))
    outbox, told = deliver_all(outbox.updated([], {}, WHO))
    assert (outbox.followed, told) == ({}, [])


def test_what_was_not_delivered_stays_pending_for_that_notifier_alone() -> None:
    outbox = told_only_mail(Outbox().updated([situation("a")], {}, WHO))
    outbox, told = deliver_all(outbox.updated([situation("a")], {}, WHO))
    assert told == ["webhook open a bad"]


def test_only_those_who_were_told_of_a_situation_are_told_of_its_end() -> None:
    outbox = told_only_mail(Outbox().updated([situation("a")], {}, WHO))
    outbox, told = deliver_all(outbox.updated([], {"a": "fine"}, WHO))
    assert told == ["mail resolved a fine"]
    assert (
        Outbox().updated([situation("a")], {}, WHO).updated([], {"a": "fine"}, WHO).followed == {}
    )


def test_a_new_notifier_is_told_of_what_is_open() -> None:
    outbox, _ = deliver_all(Outbox().updated([situation("a")], {}, ["mail"]), ["mail"])
    _, told = deliver_all(outbox.updated([situation("a")], {}, WHO))
    assert told == ["webhook open a bad"]


def test_a_bounded_number_of_situations_is_followed_and_the_others_are_counted() -> None:
    many = [situation(str(number)) for number in range(MAX_OPEN + 7)]
    outbox = Outbox().updated(many, {}, WHO)
    assert (len(outbox.followed), outbox.left_out) == (MAX_OPEN, 7)


def test_many_situations_of_a_kind_leave_room_for_those_of_another() -> None:
    many = [situation(str(number)) for number in range(MAX_OPEN + 7)]
    outbox = Outbox().updated(many, {}, WHO)
    held = Situation("held", Kind.HELD_DATE, "held")
    outbox = outbox.updated([*many, held], {}, WHO)
    assert "held" in outbox.followed
    assert outbox.left_out == 7


def test_a_message_that_is_never_accepted_keeps_no_other_message_back() -> None:
    outbox = Outbox()
    for _ in range(2):
        outbox = outbox.updated([situation("a"), situation("b")], {}, ["mail"])
        first = next(outbox.pending(["mail"], NOW))
        outbox = outbox.refused(first) if first.key == "a" else outbox.delivered(first)
    assert [due.key for due in outbox.pending(["mail"], NOW)] == ["a"]


looks = st.tuples(
    st.dictionaries(st.sampled_from("abc"), st.sampled_from(["bad", "worse"])),
    st.lists(st.booleans(), min_size=12, max_size=12),
)


@given(st.lists(looks, max_size=12))
def test_everyone_ends_up_knowing_what_is_so_however_deliveries_fail(
    story: list[tuple[dict[str, str], list[bool]]],
) -> None:
    outbox, known = Outbox(), {name: dict[str, str]() for name in WHO}
    counts: dict[tuple[str, str], int] = defaultdict(int)

    def tick(now: dict[str, str], works: list[bool]) -> Outbox:
        found = [situation(key, text) for key, text in now.items()]
        ended = {key: "fine" for key in "abc" if key not in now}
        updated = OUTBOX.validate_json(OUTBOX.dump_json(outbox.updated(found, ended, WHO)))
        for due, is_up in zip(list(updated.pending(WHO, NOW)), works, strict=False):
            if is_up:
                updated = updated.delivered(due)
                counts[due.receiver, due.key] += 1
                knows = known[due.receiver]
                if due.state is State.RESOLVED:
                    assert due.key in knows, "who was not told is not told of the end"
                    del knows[due.key]
                else:
                    assert (due.state is State.CHANGED) == (due.key in knows)
                    assert knows.get(due.key) != due.situation.text, "nothing is told twice"
                    knows[due.key] = due.situation.text
        return updated

    now: dict[str, str] = {}
    for now, works in story:
        outbox = tick(now, works)
    for _ in range(2):
        outbox = tick(now, [True] * 12)
    assert known == dict.fromkeys(WHO, now)
    before = dict(counts)
    outbox = tick(now, [True] * 12)
    assert counts == before


FIRST, SECOND = SENT_AGAIN_AFTER_SECONDS


def told_at(outbox: Outbox, now: float) -> list[str]:
    return [f"{due.state} {due.situation.text}" for due in outbox.pending(["mail"], now)]


def silent(outbox: Outbox, now: float) -> Outbox:
    """The state after what is pending was sent and not answered."""
    for due in list(outbox.pending(["mail"], now)):
        outbox = outbox.attempted(due, now)
    return OUTBOX.validate_json(OUTBOX.dump_json(outbox))


def test_a_message_without_an_answer_is_sent_again_twice_and_then_counts_as_delivered() -> None:
    outbox = silent(Outbox().updated([situation("a")], {}, ["mail"]), NOW)
    assert told_at(outbox, NOW + FIRST - 1) == []
    assert told_at(outbox, NOW + FIRST) == ["open bad"]
    outbox = silent(outbox, NOW + FIRST)
    assert told_at(outbox, NOW + FIRST + SECOND - 1) == []
    outbox = silent(outbox, NOW + FIRST + SECOND)
    assert told_at(outbox, NOW + 10**6) == []
    assert outbox.followed["a"].known == {"mail": situation("a").mark}


def test_what_changes_meanwhile_is_told_at_once_and_the_end_too() -> None:
    outbox = silent(Outbox().updated([situation("a")], {}, ["mail"]), NOW)
    changed = outbox.updated([situation("a", "worse")], {}, ["mail"])
    assert told_at(changed, NOW) == ["open worse"]
    ended = outbox.updated([], {"a": "fine"}, ["mail"])
    assert told_at(ended, NOW) == ["resolved fine"]
    [due] = ended.pending(["mail"], NOW)
    assert ended.delivered(due).updated([], {}, ["mail"]).followed == {}


def test_who_may_have_been_told_of_the_end_is_told_that_it_is_open_again() -> None:
    outbox, _ = deliver_all(Outbox().updated([situation("a")], {}, ["mail"]), ["mail"])
    outbox = silent(outbox.updated([], {"a": "fine"}, ["mail"]), NOW)
    assert told_at(outbox, NOW) == []
    again = outbox.updated([situation("a")], {}, ["mail"])
    assert told_at(again, NOW) == ["open bad"]
    again, _ = deliver_all(again, ["mail"])
    assert told_at(again, NOW + 10**6) == []


def test_an_end_without_an_answer_is_told_three_times_and_forgotten() -> None:
    outbox, _ = deliver_all(Outbox().updated([situation("a")], {}, ["mail"]), ["mail"])
    outbox = outbox.updated([], {"a": "fine"}, ["mail"])
    for now in (NOW, NOW + FIRST, NOW + FIRST + SECOND):
        assert told_at(outbox, now) == ["resolved fine"]
        outbox = silent(outbox, now).updated([], {}, ["mail"])
    assert outbox.followed == {}


def test_a_cursor_of_before_is_read() -> None:
    text = '{"followed": {"a": {"situation": {"key": "a", "kind": "odd_date", "text": "bad"}, '
    outbox = OUTBOX.validate_json(text + '"known": {"mail": "x"}}}}')
    assert told_at(outbox, NOW) == ["changed bad"]
