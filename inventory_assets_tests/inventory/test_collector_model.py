"""Runs and collections in any order, compared with a simple model."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from inventory_assets.inventory.errors import ConflictError, CorruptRecord
from inventory_assets.inventory.listing.checkpoints import CheckpointLog
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import (
    manifest_etag,
    merge,
    missing_prefixes,
    newest_manifest,
    publish_manifest,
    read_manifest,
)
from inventory_assets.inventory.manifest.snapshot import (
    Snapshot,
    publish_snapshot,
    read_snapshots,
    snapshot_etag,
)
from inventory_assets.inventory.retention.collector import GRACE, Plan, execute, plan_collection
from inventory_assets.inventory.retention.policy import Retention
from inventory_assets.inventory.storage import local_store
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.usage.date_usage import publish_usage, usage_etag
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets_tests.inventory.histories import (
    SHARDS,
    Killed,
    collect_all,
    dangling,
    data_files,
    day_after,
    keys_of,
    killed_after,
    named,
    noon,
    part_names,
    part_usages,
    tombstone_keys,
)
from inventory_assets_tests.inventory.samples import LAYOUT, listed, snapshot_of

DAYS = [day_after(days) for days in range(2)]
LONGEST = GRACE - timedelta(hours=2)
"""How long a run, or a collection, is at work at most."""

bounds = st.none() | st.integers(1, 5)
contents = st.sampled_from([frozenset(), frozenset({"a/1", "b"})])


@dataclass
class Run:
    """A run that uses files and has not published its record yet."""

    began: datetime
    publish: Callable[[], None]
    snapshot: Snapshot | None = None
    checkpoint_log: CheckpointLog | None = None


class RunsAndCollections(RuleBasedStateMachine):
    """All named files exist at every moment; at the end, no other files do."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        patch = self.stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(local_store, "_flush", lambda _path: None)
        folder = self.stack.enter_context(TemporaryDirectory())
        self.store = LocalStore(Path(folder))
        self.now = noon(DAYS[0])
        self.runs: list[Run] = []
        self.plans: list[tuple[datetime, Plan]] = []

    @initialize(retention=st.builds(Retention, keep_days=bounds, keep_last=bounds))
    def configure(self, retention: Retention) -> None:
        self.retention = retention

    @rule(day=st.sampled_from(DAYS), shard=st.sampled_from(SHARDS), keys=contents)
    def begin_listing(self, day: date, shard: object, keys: frozenset[str]) -> None:
        chosen = next(each for each in SHARDS if each is shard)
        inside = [key for key in keys if any(key in each for each in chosen.ranges)]
        expected_etag = snapshot_etag(self.store, LAYOUT, day, chosen.prefix)
        snapshot = snapshot_of(self.store, chosen, listed(inside), day)
        self._take(snapshot, expected_etag)

    @rule(day=st.sampled_from(DAYS), shard=st.sampled_from(SHARDS))
    def begin_sharing(self, day: date, shard: object) -> None:
        """A listing whose shard is unchanged, and which names the parts of the baseline."""
        chosen = next(each for each in SHARDS if each is shard)
        baseline = newest_manifest(self.store, LAYOUT, day)
        if baseline:
            parts = next(e.parts for e in baseline.shards if e.shard.prefix == chosen.prefix)
            expected_etag = snapshot_etag(self.store, LAYOUT, day, chosen.prefix)
            empty = snapshot_of(self.store, chosen, (), day)
            self._take(replace(empty, parts=parts), expected_etag)

    def _take(self, snapshot: Snapshot, expected_etag: str) -> None:
        def publish() -> None:
            finished = replace(snapshot, finished_at=self.now)
            publish_snapshot(self.store, LAYOUT, finished, expected_etag)

        self.runs.append(Run(self.now, publish, snapshot))

    @rule(day=st.sampled_from(DAYS))
    def begin_merge(self, day: date) -> None:
        expected_etag = manifest_etag(self.store, LAYOUT, day)
        snapshots = read_snapshots(self.store, LAYOUT, day)
        if not missing_prefixes("", snapshots):
            manifest = merge(self.store, LAYOUT, "", snapshots, self.now)
            self.runs.append(Run(self.now, lambda: self._publish(manifest, expected_etag)))

    def _publish(self, manifest: Manifest, expected_etag: str) -> None:
        publish_manifest(self.store, LAYOUT, manifest, expected_etag)

    @rule(day=st.sampled_from(DAYS))
    def begin_usage(self, day: date) -> None:
        expected_etag = usage_etag(self.store, LAYOUT, day)
        manifest = read_manifest(self.store, LAYOUT, day)
        if manifest:
            self.runs.append(Run(self.now, lambda: self._use(manifest, expected_etag)))

    def _use(self, manifest: Manifest, expected_etag: str) -> None:
        with suppress(CorruptRecord):  # the manifest was replaced, and its parts removed
            publish_usage(self.store, LAYOUT, manifest, self.now, expected_etag)

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def note(self, data: st.DataObject) -> None:
        """A listing writes a checkpoint."""
        run = data.draw(st.sampled_from(self.runs))
        snapshot = run.snapshot
        if snapshot:
            folder = LAYOUT.checkpoints(snapshot.day)
            run.checkpoint_log = run.checkpoint_log or CheckpointLog(
                self.store,
                folder,
                "x",
                str(len(self.runs)),
                lambda: self.now,
                self.store.list_names(folder),
            )
            run.checkpoint_log.record_completed(KeyRange("", "zz"), snapshot.parts, RequestStats())
            run.checkpoint_log.flush(RequestStats())

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), is_killed=st.booleans())
    def end(self, data: st.DataObject, is_killed: bool) -> None:
        run = data.draw(st.sampled_from(self.runs))
        self._end(run, is_killed=is_killed)

    def _end(self, run: Run, *, is_killed: bool = False) -> None:
        self.runs.remove(run)
        if is_killed:
            return
        try:
            run.publish()
        except ConflictError:
            return
        if run.checkpoint_log:
            run.checkpoint_log.clear()

    @rule()
    def collect(self) -> None:
        """Plan a collection and execute it at once."""
        self.plan()
        _, plan = self.plans.pop()
        execute(self.store, plan, lambda: self.now)

    @rule()
    def collect_for_days(self) -> None:
        """Collect until unnamed files are about to be removed."""
        for _ in range(2):
            self.collect()
            self.pass_time(47)

    @rule(hours=st.sampled_from([1, 20, 44, 47]))
    def pass_time(self, hours: int) -> None:
        """End all runs that would take too long."""
        then = self.now + timedelta(hours=hours)
        for run in [run for run in self.runs if then - run.began > LONGEST]:
            self._end(run)
        self.plans = [(began, plan) for began, plan in self.plans if then - began <= LONGEST]
        self.now = then

    @rule()
    def plan(self) -> None:
        plan = plan_collection(self.store, LAYOUT, self.retention, self.now.date(), self.now)
        self.plans.append((self.now, plan))

    @precondition(lambda self: self.plans)
    @rule(data=st.data(), operations=st.integers(0, 40))
    def remove(self, data: st.DataObject, operations: int) -> None:
        """Execute a plan, which may be old, completely or in part."""
        planned = data.draw(st.sampled_from(self.plans))
        self.plans.remove(planned)
        with suppress(Killed):
            execute(killed_after(self.store, operations), planned[1], lambda: self.now)

    @invariant()
    def everything_named_is_there(self) -> None:
        assert dangling(self.store, DAYS) == []

    def teardown(self) -> None:
        try:
            for run in [*self.runs]:
                self._end(run)
            self.everything_named_is_there()
            self._compare_the_end()
        finally:
            self.stack.close()

    def _compare_the_end(self) -> None:
        before = {day: keys for day in DAYS if (keys := keys_of(self.store, day)) is not None}
        later = self.now + 2 * GRACE
        collect_all(self.store, self.retention, later)
        collect_all(self.store, self.retention, later + 4 * GRACE)
        after = {day: keys for day in DAYS if (keys := keys_of(self.store, day)) is not None}
        assert after.items() <= before.items()
        kept = sorted(before)[-(self.retention.keep_last or 1) :]
        assert set(kept) <= set(after)
        if not self.retention:
            assert after == before
        assert data_files(self.store) == named(self.store)
        assert part_usages(self.store) <= part_names(self.store)
        assert tombstone_keys(self.store) == []


RunsAndCollections.TestCase.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None
)
TestRunsAndCollections = RunsAndCollections.TestCase
