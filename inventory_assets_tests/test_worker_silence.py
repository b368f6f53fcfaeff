"""How long no worker has confirmed that it executes a run."""

from inventory_assets.defs.worker_silence import WorkerSilence


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_silence_lasts_from_the_first_answer_that_did_not_confirm_a_run() -> None:
    clock = Clock()
    silence = WorkerSilence(clock)
    assert silence.seconds("a") == 0
    clock.now = 5
    silence.note_answers(["a", "b"], ["b"])
    clock.now = 12
    assert silence.seconds("a") == 7
    assert silence.seconds("b") == 0
    silence.note_answers(["a", "b"], [])
    clock.now = 20
    assert silence.seconds("a") == 15
    assert silence.seconds("b") == 8


def test_a_confirmation_ends_the_silence() -> None:
    clock = Clock()
    silence = WorkerSilence(clock)
    silence.note_answers(["a"], [])
    clock.now = 50
    silence.note_answers(["a"], ["a"])
    assert silence.seconds("a") == 0
    clock.now = 60
    silence.note_answers(["a"], [])
    assert silence.seconds("a") == 0


def test_a_time_without_a_broker_does_not_count() -> None:
    clock = Clock()
    silence = WorkerSilence(clock)
    silence.note_answers(["a"], [])
    clock.now = 50
    silence.note_unreachable()
    assert silence.seconds("a") == 0
    clock.now = 300
    silence.note_answers(["a"], [])
    clock.now = 301
    assert silence.seconds("a") == 1


def test_runs_that_are_not_asked_for_any_more_are_forgotten() -> None:
    clock = Clock()
    silence = WorkerSilence(clock)
    silence.note_answers(["a"], [])
    silence.note_answers(["b"], [])
    clock.now = 50
    assert silence.seconds("a") == 0
    assert silence.seconds("b") == 50
