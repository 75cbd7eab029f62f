"""What a person sees of a run: bars on a terminal, plain lines elsewhere, nothing if told so."""

import io

import pytest
from rich.console import Console

from carousel.training.run import progress_reporter as module
from carousel.training.run.progress import Outcome, Progress
from carousel.training.run.progress_reporter import (
    ConsoleReporter,
    NoProgress,
    ProgressReporter,
    bar_fields,
    has_live_display,
)

NOW = Progress(
    step=30, tokens=900, epoch=1.5, fraction=0.25, train_loss=2.0, valid_loss=3.0,
    tokens_per_second=1234.0,
)  # fmt: skip


def console(terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=120, color_system=None)


def report(reporter):
    with reporter:
        bar = reporter.progress_bar("tokenizing")
        bar(50, 100)
        bar(100, 100)
        reporter.on_train_begin(NOW, [])
        reporter.on_progress(NOW)
        reporter.on_validation(NOW, is_best=True)
        reporter.on_message("back to step 3")
        reporter.on_train_end(Outcome("finished", 3.0))


def test_elsewhere_than_on_a_terminal_there_are_only_lines():
    plain = console(terminal=False)
    report(ConsoleReporter(plain))
    lines = plain.file.getvalue().splitlines()
    assert lines[0] == "Goes on at step 30, 25% of the run"
    message = "25% epoch 1.50 train 2.000 valid 3.000 ppl 20.1 best 1,234 tokens/s"
    assert lines[1].split() == message.split()
    assert lines[2:] == ["back to step 3"]


def test_elsewhere_a_line_tells_of_the_progress_now_and_then(monkeypatch):
    clock = iter(range(0, 1000, 25))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    plain = console(terminal=False)
    reporter = ConsoleReporter(plain)
    for _ in range(8):
        reporter.on_progress(NOW)
    lines = plain.file.getvalue().splitlines()
    # A minute is three turns of 25 seconds; each line takes one to print.
    assert len(lines) == 2
    assert lines[0].split() == ["25%", "epoch", "1.50", "train", "2.0000", "1,234", "tokens/s"]


def test_the_length_of_a_run_is_told_once_from_its_first_seconds():
    plain = console(terminal=False)
    reporter = ConsoleReporter(plain)
    for step in range(8):  # resumed at half; half a second for each hundredth
        reporter.on_progress(Progress(fraction=0.5 + step / 100, seconds=100 + step / 2))
    assert plain.file.getvalue().splitlines() == [
        "This will take about 20 seconds; Ctrl-C keeps the best model"
    ]


def test_a_short_run_is_over_before_an_estimate_is_read():
    plain = console(terminal=False)
    reporter = ConsoleReporter(plain)
    for step in range(8):
        reporter.on_progress(Progress(fraction=step / 10, seconds=step / 2))
    assert plain.file.getvalue() == ""


def test_on_a_terminal_there_are_bars_beside_the_lines():
    terminal = console(terminal=True)
    report(ConsoleReporter(terminal))
    shown = terminal.file.getvalue()
    for part in ("tokenizing", "25%", "loss 2.000", "ppl 7.4", "1,234 tokens/s", "best"):
        assert part in shown


def test_a_notebook_needs_widgets_for_bars(monkeypatch):
    notebook = Console(file=io.StringIO(), force_jupyter=True)
    for spec, live in ((None, False), (object(), True)):
        monkeypatch.setattr(module, "find_spec", lambda name, spec=spec: spec)
        assert has_live_display(notebook) == live


def test_nothing_is_shown_if_told_so(capsys):
    report(NoProgress())
    assert capsys.readouterr() == ("", "")


def test_what_shows_progress_must_say_how():
    with pytest.raises(NotImplementedError):
        ProgressReporter().print("x")
    with pytest.raises(NotImplementedError):
        ProgressReporter().progress_bar("x")


def test_a_bar_before_the_first_loss():
    assert bar_fields(Progress()) == {"loss": "  -  ", "perplexity": "-", "speed": "0"}
