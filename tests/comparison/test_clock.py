"""The clock of the runs of a comparison."""

from bls_mm.comparison import clock as clock_module
from bls_mm.comparison.clock import TrainClock


def test_train_clock_leaves_validation_out(monkeypatch):
    now = iter([10, 13, 20, 24])  # epoch, validation, epoch, end
    monkeypatch.setattr(clock_module.time, 'perf_counter', lambda: next(now))
    clock = TrainClock()
    clock.before_train_epoch(None)
    clock.before_val(None)
    clock.after_val_epoch(None, dict(acc=1))
    clock.after_val(None)
    clock.before_train_epoch(None)
    clock.after_train(None)
    assert clock.seconds == 3 + 4
    assert clock.metrics == dict(acc=1)


def test_train_clock_ignores_validation_before_training():
    clock = TrainClock()
    clock.before_val(None)
    clock.after_val(None)
    assert clock._since is None
