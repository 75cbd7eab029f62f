"""Nothing that is printed is wider than the terminal, down to 60 columns."""

import pytest
from rich.cells import cell_len

from carousel.cli import COMMANDS, run

TEXT = "the cat sat on the mat and the dog ran to the cat\n"
SHORT = "--epochs 1 --hidden-size 8 --embedding-size 6 --set batch=2 --set bptt=8"
LINES = [
    *(f"{command} --help" for command in COMMANDS), "--help", "info", "info model", "predict the",
    "evaluate model text.txt", f"train text.txt --out new {SHORT}", "explain krish",
    "compare stories-rnn stories-gru likes", "cache",
    "quantize model --to int8 --out small --on text.txt",
    "phrases model the --words 1 --in text.txt --threshold 0.01",
]  # fmt: skip


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("line", LINES)
def test_it_fits(line, columns, tmp_path, monkeypatch, capsys, make_model):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("CAROUSEL_CACHE", "cache")
    (tmp_path / "text.txt").write_text(TEXT * 20)
    model = make_model()
    model.save(tmp_path / "model")
    assert run(line.split()) == 0
    said = capsys.readouterr()
    widest = max((said.out + said.err).splitlines(), key=cell_len)
    assert cell_len(widest) <= columns, widest
