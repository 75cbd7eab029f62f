"""Scores for columns of texts, by hand and by a local cluster of Ray."""

import json
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from carousel import BatchScorer
from carousel.errors import FolderError, SettingsError

LINES = ["the cat likes pizza", "", "so", "xyzzy and the dog ran", "a pie for the cat"]


@pytest.fixture
def folder(make_model, tmp_path):
    make_model().save(tmp_path / "model")
    return tmp_path / "model"


def test_the_columns_are_the_scores_of_each_text(folder, make_model):
    lm = make_model()
    batch = {"id": np.arange(6), "line": np.array([*LINES, None], dtype=object)}
    scored = BatchScorer(folder, column="line")(batch)
    assert list(scored) == ["id", "line", "log_probability", "perplexity", "tokens", "unknown"]
    for row, line in enumerate(LINES):
        if line:
            alone = lm.score(line)
            assert scored["log_probability"][row] == pytest.approx(alone.log_probability, abs=1e-4)
            assert scored["perplexity"][row] == pytest.approx(alone.perplexity, rel=1e-4)
    assert scored["tokens"].tolist() == [5, 1, 2, 6, 6, 0]
    assert scored["unknown"].tolist() == [0, 0, 0, 1, 1, 0]
    assert np.isnan(scored["perplexity"]).tolist() == [False] * 5 + [True]
    assert "likely_tokens" in BatchScorer(folder, "line", prefix="likely_")(scored)


def test_what_can_not_be_scored(folder):
    scorer = BatchScorer(folder)
    with pytest.raises(SettingsError, match="no column 'text' among line, id"):
        scorer({"line": np.array(["a"]), "id": np.array([1])})
    with pytest.raises(SettingsError, match="'tokens' is there already"):
        scorer({"text": np.array(["a"]), "tokens": np.array([1])})
    with pytest.raises(SettingsError, match="holds int64, not text"):
        scorer({"text": np.array([1])})
    with pytest.raises(FolderError):
        BatchScorer(folder / "nowhere")


ON_A_CLUSTER = """
import json, os, sys, ray
import carousel
folder, parquet, text = sys.argv[1:]
ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)

class Scorer(carousel.BatchScorer):
    def __call__(self, batch):
        scored = super().__call__(batch)
        return {**scored, "worker": [os.getpid()] * len(scored["tokens"])}

tables = [ray.data.read_parquet(parquet), ray.data.read_text(text, drop_empty_lines=False)]
for table in tables:
    scored = table.repartition(4).map_batches(
        Scorer, fn_constructor_kwargs={"model": folder}, batch_format="numpy", batch_size=8,
        concurrency=2,
    )
    print(json.dumps(scored.take_all()))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("ray") is None, reason="Ray is not installed: pip install 'ray[data]'"
)
def test_workers_of_a_cluster_give_the_same_numbers(folder, make_model, tmp_path):
    import pyarrow
    import pyarrow.parquet

    lines = LINES * 20
    pyarrow.parquet.write_table(pyarrow.table({"text": lines}), tmp_path / "lines.parquet")
    (tmp_path / "lines.txt").write_text("".join(line + "\n" for line in lines))
    (tmp_path / "job.py").write_text(ON_A_CLUSTER)
    command = [sys.executable, "job.py", folder, tmp_path / "lines.parquet", tmp_path / "lines.txt"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-3000:]
    lm = make_model()
    expected = {line: lm.score(line).log_probability for line in LINES if line}
    tables = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("[")]
    assert len(tables) == 2
    for rows in tables:
        assert sorted(row["text"] for row in rows) == sorted(lines)
        for row in rows:
            if row["text"]:
                assert row["log_probability"] == pytest.approx(expected[row["text"]], abs=1e-4)
    assert len({row["worker"] for row in tables[0]}) == 2
