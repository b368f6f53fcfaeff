"""The sensor that tells people what is wrong with a source."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import groupby
from urllib.parse import quote

import dagster as dg
from pydantic import TypeAdapter

from inventory_assets.alerts.delivery import SEND_SECONDS, NotDelivered, Notifier, deliver
from inventory_assets.alerts.outbox import Due, Outbox
from inventory_assets.alerts.situation import Kind, Message
from inventory_assets.config import Alerts
from inventory_assets.defs.alert_situations.dates import look_at_dates
from inventory_assets.defs.alert_situations.failed_runs import look_at_runs
from inventory_assets.defs.alert_situations.seen import Look, Seen
from inventory_assets.defs.source.context import SourceAssets, SourceContext
from inventory_assets.errors import InventoryError
from inventory_assets.wiring.notifiers import notifiers_of

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
        names = [name for each in notifiers for name in each.receivers]
        outbox = cursor.outbox.updated(look.now, look.ended, names)
        outbox, told, undelivered = _deliver(assets.source.name, alerts, outbox, notifiers)
        problems += undelivered
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
    """Deliver what is pending, within the bounds of a tick; returns what was not delivered, too."""
    of_receiver = {name: each for each in notifiers for name in each.receivers}
    failed: set[str] = set()
    problems: list[str] = []
    told, now = 0, time.time()
    end = time.monotonic() + SECONDS_PER_TICK
    pending = list(outbox.pending(list(of_receiver), now))
    for (_, state, name), group in groupby(
        pending, lambda due: (due.key, due.state, of_receiver[due.receiver].name)
    ):
        # One that failed is not asked again in this tick: it may take as long again.
        if name in failed:
            continue
        dues = list(group)
        left = min(SEND_SECONDS, end - time.monotonic())
        if told >= MESSAGES_PER_TICK or left <= 0:
            break
        situation = dues[0].situation
        message = Message(source, state, situation, _url(alerts, situation.run_id))
        receivers = [due.receiver for due in dues]
        problem: NotDelivered | None = None
        try:
            deliver(of_receiver[receivers[0]], message, receivers, left)
        except NotDelivered as error:
            problem = error
            problems.append(_described(error))
            if not error.refused:
                failed.add(name)
        outbox = _after(outbox, dues, problem, now)
        told += problem is None or bool(set(receivers).difference(problem.refused or receivers))
    return outbox, told, problems


def _after(outbox: Outbox, dues: Sequence[Due], problem: NotDelivered | None, now: float) -> Outbox:
    """The state after a message to one or several receivers."""
    for due in dues:
        if problem is None or (problem.refused and due.receiver not in problem.refused):
            outbox = outbox.delivered(due)
        elif problem.may_have_arrived or due.receiver in problem.refused_for_good:
            outbox = outbox.attempted(due, now)
        else:
            outbox = outbox.refused(due)
    return outbox


def _described(problem: NotDelivered) -> str:
    if problem.may_have_arrived:
        return f"not answered, so it may have arrived; it is sent again later: {problem}"
    if problem.refused_for_good:
        return f"refused, and sent again later, a few times where the code is 5xx: {problem}"
    return f"not sent, and tried again: {problem}"


def _url(alerts: Alerts, run_id: str) -> str:
    base = (alerts.ui_url or "").rstrip("/")
    return f"{base}/runs/{quote(run_id)}" if base and run_id else base
