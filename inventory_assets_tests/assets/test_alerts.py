"""People are told of failed runs, and of late, held and odd dates: once, and of their end."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData

from inventory_assets.config import Alerts, Growth, Schedule
from inventory_assets.config.alerts import Email
from inventory_assets.defs import alert_sensor
from inventory_assets.defs.alert_situations import failed_runs
from inventory_assets.inventory.gate.publication import release_date
from inventory_assets.s3.errors import AccessDenied
from inventory_assets_tests.assets.test_gate import list_badly, release
from inventory_assets_tests.assets.world import TODAY, YESTERDAY, Buckets, World, noon
from inventory_assets_tests.fakes.scripted_server import Answer, ScriptedServer
from inventory_assets_tests.fakes.smtp_server import SmtpServer

VARIABLE = "INVENTORY_TEST_WEBHOOK"
SECRET = "T000-very-secret-path"
UI = "https://dagster.example.com"
ALERTS = Alerts(webhook_env=VARIABLE, ui_url=f"{UI}/")


class Watch:
    """The alert sensor of a world, tick after tick, with its webhook."""

    def __init__(self, world: World, server: ScriptedServer) -> None:
        self.world, self.server = world, server
        self.cursor: str | None = None
        self.outcome = ""
        self.tick()

    def tick(self) -> list[dict[str, Any]]:
        """One tick; what the webhook was sent."""
        before = len(self.server.seen)
        data = self.evaluate()
        self.cursor, self.outcome = data.cursor, data.skip_message or ""
        return [json.loads(seen.body) for seen in self.server.seen[before:]]

    def evaluate(self) -> SensorExecutionData:
        repository = self.world.definitions.get_repository_def()
        with dg.build_sensor_context(
            instance=self.world.instance,
            cursor=self.cursor,
            repository_def=repository,
            resources=self.world.resources(),
        ) as context:
            return repository.get_sensor_def("src_alerts").evaluate_tick(context)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    with ScriptedServer([Answer(204)]) as server:
        monkeypatch.setenv(VARIABLE, f"{server.url}/{SECRET}")
        yield server


@pytest.fixture
def make(
    tmp_path: Path, buckets: Buckets, server: ScriptedServer
) -> Iterator[Callable[..., tuple[World, Watch]]]:
    """Makes a world over a bucket in memory, and the watch of its alerts."""
    buckets.keys["memory"] = {f"a/{number}" for number in range(8)} | {"b/1", "root"}
    with dg.DagsterInstance.ephemeral() as instance:

        def make(**source: Any) -> tuple[World, Watch]:
            world = World(tmp_path, instance, {"bucket": "memory", "alerts": ALERTS, **source})
            return world, Watch(world, server)

        yield make


def email_to(addresses: tuple[str, ...], port: int) -> Email:
    return Email(
        host="127.0.0.1", port=port, security="none", sender="inventory@example.com", to=addresses
    )


def told(message: dict[str, Any]) -> tuple[str, str, str]:
    return message["kind"], message["state"], message["date"]


DAY = str(TODAY)


def test_without_a_table_there_is_no_sensor(world: World) -> None:
    names = {sensor.name for sensor in world.definitions.sensors or []}
    assert "src_alerts" not in names


def test_nothing_wrong_tells_nobody(make: Callable[..., tuple[World, Watch]]) -> None:
    world, watch = make()
    world.pass_day(TODAY)
    assert watch.tick() == []
    assert watch.outcome == "0 message(s) sent, 0 situation(s) open"


# Failed runs


def test_a_failed_run_is_told_once_with_a_link_and_what_happened_and_so_is_its_end(
    make: Callable[..., tuple[World, Watch]], buckets: Buckets
) -> None:
    world, watch = make()
    world.discover()
    buckets.failing["b/"] = AccessDenied("the bucket says no")
    failed = world.list_all()
    [message] = watch.tick()
    assert told(message) == ("failed_run", "open", DAY)
    assert message["url"] == f"{UI}/runs/{failed.run_id}"
    assert message["run_id"] == failed.run_id
    assert "a run of object_listing for " in message["text"]
    assert "the bucket says no" in message["text"]
    assert watch.tick() == []
    buckets.failing.clear()
    assert world.list_all().success
    [message] = watch.tick()
    assert told(message) == ("failed_run", "resolved", DAY)
    assert message["text"] == "a later run of the same work succeeded"
    assert watch.tick() == []


def test_the_same_failure_again_is_no_news_and_another_one_is(
    make: Callable[..., tuple[World, Watch]], buckets: Buckets
) -> None:
    world, watch = make()
    world.discover()
    buckets.failing["b/"] = AccessDenied("the bucket says no")
    world.list_all()
    assert len(watch.tick()) == 1
    world.list_all()
    assert watch.tick() == []
    buckets.failing["b/"] = AccessDenied("the role is gone")
    world.list_all()
    [message] = watch.tick()
    assert told(message) == ("failed_run", "changed", DAY)


def test_a_published_date_ends_the_failures_of_its_listing(
    make: Callable[..., tuple[World, Watch]], buckets: Buckets
) -> None:
    world, watch = make()
    world.discover()
    buckets.failing["b/"] = AccessDenied("the bucket says no")
    world.list_all()
    watch.tick()
    buckets.failing.clear()
    assert world.run("object_listing", world.key("b/")).success
    assert world.run("inventory_manifest", DAY).success
    [message] = watch.tick()
    assert told(message) == ("failed_run", "resolved", DAY)
    assert message["text"] == f"{DAY} is published now"
    assert watch.tick() == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_store_that_cannot_be_read_ends_no_failure(
    make: Callable[..., tuple[World, Watch]], buckets: Buckets, when: str
) -> None:
    world, watch = make()
    world.pass_day(TODAY)
    watch.tick()
    head = world.store.path(world.layout.manifest(TODAY))
    away = head.with_suffix(".away")
    buckets.failing["b/"] = AccessDenied("the bucket says no")
    world.list_all()
    if when == "before":
        assert [told(each) for each in watch.tick()] == [("failed_run", "open", DAY)]
    head.rename(away)
    head.mkdir()  # reading it is an error
    first = watch.tick()
    head.rmdir()
    away.rename(head)
    found = [told(each) for each in [*first, *watch.tick()]]
    assert found == ([("failed_run", "open", DAY)] if when == "after" else [])
    assert "1 situation(s) open" in watch.outcome


def test_failures_before_the_first_tick_are_not_told(
    make: Callable[..., tuple[World, Watch]], buckets: Buckets
) -> None:
    world, watch = make()
    world.discover()
    buckets.failing["b/"] = AccessDenied("the bucket says no")
    world.list_all()
    watch.cursor = None
    assert watch.tick() == []


def test_hostile_names_are_escaped_and_cut(
    make: Callable[..., tuple[World, Watch]], buckets: Buckets
) -> None:
    prefix = "\u202e<!channel>" + "x" * 300 + "/"
    buckets.keys["memory"].add(f"{prefix}1")
    world, watch = make()
    world.discover()
    buckets.failing[prefix] = AccessDenied(f"no access to {prefix!r}")
    world.list_all()
    [message] = watch.tick()
    assert message["text"].isprintable()
    assert "x" * 121 not in message["text"]


# Held dates


def test_a_held_date_is_told_with_its_way_out_and_its_failed_run_is_not(
    make: Callable[..., tuple[World, Watch]],
) -> None:
    world, watch = make()
    list_badly(world)
    assert not world.run("inventory_manifest", DAY).success
    [message] = watch.tick()
    assert told(message) == ("held_date", "open", DAY)
    assert "requests failed, 5.00% of them; the bound is 0.8 %" in message["text"]
    assert f"inventory release src@{DAY}" in message["text"]
    assert watch.tick() == []
    release_date(world.store, world.layout, TODAY, "ada", "only slow", lambda: noon(TODAY))
    [message] = watch.tick()
    assert told(message) == ("held_date", "resolved", DAY)
    assert message["text"] == f"{DAY} is published: ada released it, because: only slow"


def test_a_held_date_that_is_listed_again_well_is_told_as_published(
    make: Callable[..., tuple[World, Watch]], buckets: Buckets
) -> None:
    world, watch = make()
    list_badly(world)
    world.run("inventory_manifest", DAY)
    watch.tick()
    buckets.keys["memory"].add("c/1")
    world.discover()
    assert world.list_all().success
    assert world.run("inventory_manifest", DAY).success
    assert told(watch.tick()[0]) == ("held_date", "resolved", DAY)


# Late dates


def test_a_date_that_is_not_published_hours_after_its_schedule_is_late(
    make: Callable[..., tuple[World, Watch]],
) -> None:
    schedule = Schedule(start_date=TODAY - timedelta(days=9), cron="0 10 * * *")
    alerts = ALERTS.model_copy(update={"late_after_hours": 1})
    world, watch = make(schedule=schedule, alerts=alerts)
    days = [TODAY - timedelta(days=number) for number in (9, 8, 7, 0)]
    world.set_day(days[0])
    watch.cursor = None
    assert watch.tick() == [], "what was due before the first look is not told"
    world.set_day(days[1])
    assert [told(each) for each in watch.tick()] == [("late_date", "open", str(days[1]))]
    assert watch.tick() == []
    world.pass_day(days[1])
    assert [told(each) for each in watch.tick()] == [("late_date", "resolved", str(days[1]))]
    world.set_day(days[2])
    assert [told(each) for each in watch.tick()] == [("late_date", "open", str(days[2]))]
    world.set_day(days[3])
    found = [told(each) for each in watch.tick()]
    between = [TODAY - timedelta(days=number) for number in range(6, -1, -1)]
    assert found == [("late_date", "open", str(day)) for day in between], "it was down since"
    assert watch.tick() == []


def test_dates_that_became_late_without_the_store_are_told_when_it_is_back(
    make: Callable[..., tuple[World, Watch]],
) -> None:
    schedule = Schedule(start_date=TODAY - timedelta(days=9), cron="0 0,10 * * *")
    alerts = ALERTS.model_copy(update={"late_after_hours": 1})
    world, watch = make(schedule=schedule, alerts=alerts)
    days = [TODAY - timedelta(days=number) for number in (3, 2, 1, 0)]
    world.set_day(days[0])
    watch.cursor = None
    watch.tick()
    world.store.publish(world.layout.held(TODAY), b"{")  # reading it is an error
    for day in days[1:3]:
        world.set_day(day)
        assert watch.tick() == []
    world.store.path(world.layout.held(TODAY)).unlink()
    world.pass_day(days[1])
    world.set_day(days[3])
    assert [told(each) for each in watch.tick()] == [
        ("late_date", "open", str(day)) for day in days[2:]
    ]


# Odd dates


def test_a_fall_beyond_the_bounds_of_growth_is_told(
    make: Callable[..., tuple[World, Watch]], buckets: Buckets
) -> None:
    growth = Growth(fell_percent=50, min_objects=1)
    world, watch = make(growth=growth, gate={"growth": False})
    for day in (YESTERDAY, TODAY):
        world.pass_day(day)
        assert world.run("prefix_usage", str(day)).success
        buckets.keys["memory"] = {"b/1", "root"}
    [message] = watch.tick()
    assert told(message) == ("odd_date", "open", DAY)
    assert "the whole inventory fell by 80.0 % in objects" in message["text"]
    assert watch.tick() == []


# Receivers


def test_what_a_receiver_refuses_is_sent_again_and_the_tick_succeeds_without_its_address(
    make: Callable[..., tuple[World, Watch]], server: ScriptedServer
) -> None:
    world, watch = make()
    list_badly(world)
    world.run("inventory_manifest", DAY)
    server.script(Answer(503))
    assert len(watch.tick()) == 1
    assert "not sent, and tried again: webhook answered 503" in watch.outcome
    assert SECRET not in watch.outcome
    assert SECRET not in (watch.cursor or "")
    server.script(Answer(204))
    assert [told(each) for each in watch.tick()] == [("held_date", "open", DAY)]
    assert watch.tick() == []


def test_a_receiver_that_never_answers_gets_a_message_three_times_within_hours(
    make: Callable[..., tuple[World, Watch]],
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alert_sensor, "SEND_SECONDS", 0.5)
    world, watch = make()
    list_badly(world)
    world.run("inventory_manifest", DAY)
    server.script(Answer(204, delay=5))
    start, counts = time.time(), []
    for minutes in (0, 1, 9, 11, 12, 60, 72, 73, 600):
        monkeypatch.setattr(time, "time", lambda at=start + 60 * minutes: at)
        counts.append(len(watch.tick()))
        if counts[-1]:
            assert "not answered, so it may have arrived; it is sent again later" in watch.outcome
    assert counts == [1, 0, 0, 1, 0, 0, 1, 0, 0]
    server.script(Answer(204))
    assert release(world).success
    assert [told(each) for each in watch.tick()] == [("held_date", "resolved", DAY)]


@pytest.mark.parametrize("others", [(), ("ops@example.com",)])
def test_an_address_that_does_not_exist_is_tried_three_times_within_hours(
    make: Callable[..., tuple[World, Watch]],
    monkeypatch: pytest.MonkeyPatch,
    others: tuple[str, ...],
) -> None:
    gone = "gone@example.com"
    with SmtpServer(refused={gone: f"550 {SECRET}"}) as mails:
        world, watch = make(alerts=Alerts(email=email_to((*others, gone), mails.port)))
        list_badly(world)
        world.run("inventory_manifest", DAY)
        start, counts = time.time(), []
        for minutes in (0, 1, 9, 11, 12, 60, 72, 73, 600):
            monkeypatch.setattr(time, "time", lambda at=start + 60 * minutes: at)
            mails.asked.clear()
            watch.tick()
            counts.append(len(mails.asked) - len(others) * (minutes == 0))
            if counts[-1]:
                assert "email: 127.0.0.1 refused gone@example.com (550)" in watch.outcome
                assert "sent again later, a few times where the code is 5xx" in watch.outcome
                assert SECRET not in watch.outcome
        assert counts == [1, 0, 0, 1, 0, 0, 1, 0, 0]
        assert [each.to for each in mails.received] == [others] * len(others)
        assert release(world).success
        mails.refused.clear()
        watch.tick()
        assert mails.received[-1].to == (*others, gone), "what is new is told"


def test_a_mail_that_one_address_refuses_is_sent_to_that_one_again_and_to_no_other(
    make: Callable[..., tuple[World, Watch]],
) -> None:
    addresses = ("ops@example.com", "ada@example.com")
    with SmtpServer(refused={"ada@example.com": f"450 {SECRET}"}) as mails:
        world, watch = make(alerts=Alerts(email=email_to(addresses, mails.port)))
        list_badly(world)
        world.run("inventory_manifest", DAY)
        for _ in range(2):
            watch.tick()
            assert "email: 127.0.0.1 refused ada@example.com (450)" in watch.outcome
            assert SECRET not in watch.outcome
        assert [each.to for each in mails.received] == [("ops@example.com",)]
        mails.refused.clear()
        watch.tick()
        watch.tick()
        assert [each.to for each in mails.received] == [(each,) for each in addresses]
        assert release(world).success
        watch.tick()
        assert mails.received[-1].to == addresses, "one mail for both"
        assert len(mails.received) == 3


def test_a_receiver_that_fails_is_asked_once_in_a_tick_and_others_are_told(
    make: Callable[..., tuple[World, Watch]],
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ScriptedServer([Answer(500)]) as broken:
        monkeypatch.setenv("BROKEN", broken.url)
        alerts = Alerts(webhook_env="BROKEN", slack_env=VARIABLE)
        world, watch = make(alerts=alerts)
        for day in (YESTERDAY, TODAY):
            world.set_day(day)
            list_badly(world)
            world.run("inventory_manifest", str(day))
        watch.tick()
        assert len(broken.seen) == 1
        assert len(server.seen) == 2


def test_a_variable_that_is_not_set_is_named(
    make: Callable[..., tuple[World, Watch]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE)
    world, watch = make()
    list_badly(world)
    world.run("inventory_manifest", DAY)
    assert watch.tick() == []
    assert f"webhook: the environment variable {VARIABLE} is not set" in watch.outcome


def test_without_the_store_the_situations_of_dates_stay_as_they_were(
    make: Callable[..., tuple[World, Watch]],
) -> None:
    world, watch = make()
    list_badly(world)
    world.run("inventory_manifest", DAY)
    assert len(watch.tick()) == 1
    record = world.store.read(world.layout.held(TODAY)) or b""
    world.store.publish(world.layout.held(TODAY), b"{")
    assert watch.tick() == []
    assert "is no record of a held date that this version can read" in watch.outcome
    world.store.publish(world.layout.held(TODAY), record)
    assert watch.tick() == []


@pytest.mark.parametrize("cursor", ["", "{}", "nonsense", '{"source": "other"}'])
def test_a_cursor_of_something_else_begins_anew(
    make: Callable[..., tuple[World, Watch]], cursor: str
) -> None:
    world, watch = make()
    list_badly(world)
    world.run("inventory_manifest", DAY)
    watch.cursor = cursor
    assert [told(each) for each in watch.tick()] == [("held_date", "open", DAY)]


def test_many_failures_are_told_over_several_ticks(
    make: Callable[..., tuple[World, Watch]], buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, watch = make()
    world.discover()
    buckets.failing["b/"] = AccessDenied("no")
    buckets.failing["a/"] = AccessDenied("no")
    buckets.failing[""] = AccessDenied("no")
    for shard in world.shard_keys:
        for day in (YESTERDAY, TODAY):
            world.set_day(day)
            world.run("object_listing", world.key(shard))
    monkeypatch.setattr(failed_runs, "RUNS_PER_TICK", 4)
    runs = 2 * len(world.shard_keys)
    ticks = [watch.tick() for _ in range(3)]
    assert [len(found) for found in ticks] == [4, runs - 4, 0]
    assert len({each["key"] for found in ticks for each in found}) == runs
