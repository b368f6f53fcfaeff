"""The sensor that tells people what is wrong with a source."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from urllib.parse import quote

import dagster as dg
from pydantic import TypeAdapter

from inventory_assets.alerts.delivery import SEND_SECONDS, NotDelivered, Notifier, deliver
from inventory_assets.alerts.outbox import Outbox
from inventory_assets.alerts.situation import Kind, Message
from inventory_assets.config import Alerts
from inventory_assets.defs.alert_situations import Look, Seen, look_at_dates, look_at_runs
from inventory_assets.defs.source.context import SourceAssets, SourceContext
from inventory_assets.errors import InventoryError
from inventory_assets.wiring import notifiers_of

MESSAGES_PER_TICK = 20
"""Maximum deliveries of a tick; further ones wait for the next tick."""

SECONDS_PER_TICK = 25.0
"""After this time a tick begins no further delivery; Dagster ends a tick after 60 s."""


@dataclass(frozen=True, slots=True)
class _Cursor:
    """What the sensor keeps from tick to tick: what it saw, and what it told."""

    source: str
    seen: Seen
    outbox: Outbox = field(default_factory=Outbox)


_CURSOR = TypeAdapter(_Cursor)


def build_alert_sensor(assets: SourceAssets, alerts: Alerts) -> dg.SensorDefinition:
    """The sensor of a source's alerts.

    What happened before its first tick is not told, except holds.
    """

    @dg.sensor(
        name=f"{assets.source.name}_alerts",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        required_resource_keys=assets.resource_keys,
        description=(
            f"Tell people of failed runs of {assets.source.name}, and of late, held and odd dates "
            "(docs/alerts.md)."
        ),
    )
    def tell(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        work = assets.bind(context.resources, context.instance)
        cursor = _read_cursor(work, context.cursor)
        late_after = timedelta(hours=alerts.late_after_hours)
        look, problems = _look(work, context.instance, cursor, late_after)
        notifiers = notifiers_of(alerts, os.environ)
        names = [each.name for each in notifiers]
        outbox = cursor.outbox.updated(look.now, look.ended, names)
        outbox, told, undelivered = _deliver(assets.source.name, alerts, outbox, notifiers)
        problems += [f"not sent, and tried again: {problem}" for problem in undelivered]
        for problem in problems:
            context.log.warning(problem)
        open_, left_out = len(look.now), outbox.left_out
        texts = [f"{told} message(s) sent, {open_} situation(s) open"]
        texts += [f"{left_out} more are not followed"] if left_out else []
        texts += problems
        state = replace(cursor, seen=look.seen, outbox=outbox)
        return dg.SensorResult(
            skip_reason="; ".join(texts), cursor=_CURSOR.dump_json(state).decode()
        )

    return tell


def _look(
    work: SourceContext, instance: dg.DagsterInstance, cursor: _Cursor, late_after: timedelta
) -> tuple[Look, list[str]]:
    """Look at runs and dates; without the store, the situations of dates stay as they were."""
    runs = look_at_runs(work, instance, cursor.seen, time.time())
    followed = [each for each in cursor.outbox.open_situations if each.kind is not Kind.FAILED_RUN]
    try:
        dates = look_at_dates(work, runs.seen, followed, late_after)
    except (InventoryError, OSError) as error:
        return replace(runs, now=(*followed, *runs.now)), [str(error)]
    return Look((*dates.now, *runs.now), {**dates.ended, **runs.ended}, dates.seen), []


def _read_cursor(work: SourceContext, text: str | None) -> _Cursor:
    now = time.time()
    seen = Seen(since=work.now().timestamp(), first_run=now, runs_until=now)
    start = _Cursor(work.layout.base, seen)
    try:
        found = _CURSOR.validate_json(text) if text else start
    except ValueError:
        return start
    return found if found.source == start.source else start


def _deliver(
    source: str, alerts: Alerts, outbox: Outbox, notifiers: Sequence[Notifier]
) -> tuple[Outbox, int, list[str]]:
    """Deliver what is pending, within the bounds of a tick."""
    by_name = {each.name: each for each in notifiers}
    problems: dict[str, str] = {}
    told = 0
    end = time.monotonic() + SECONDS_PER_TICK
    for due in list(outbox.pending(list(by_name))):
        left = min(SEND_SECONDS, end - time.monotonic())
        if told >= MESSAGES_PER_TICK or left <= 0:
            break
        # One that failed is not asked again in this tick: it may take as long again.
        if due.notifier in problems:
            continue
        url = _url(alerts, due.situation.run_id)
        try:
            deliver(by_name[due.notifier], Message(source, due.state, due.situation, url), left)
        except NotDelivered as error:
            problems[due.notifier] = str(error)
            outbox = outbox.refused(due)
        else:
            outbox, told = outbox.delivered(due), told + 1
    return outbox, told, list(problems.values())


def _url(alerts: Alerts, run_id: str) -> str:
    base = (alerts.ui_url or "").rstrip("/")
    return f"{base}/runs/{quote(run_id)}" if base and run_id else base
