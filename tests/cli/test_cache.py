"""``carousel cache`` lists and clears what an evaluation kept."""

import json

from carousel.cli import run


def test_listed_and_cleared(tmp_path, monkeypatch, capsys, make_model):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAROUSEL_CACHE", str(tmp_path / "cache"))
    model = make_model()
    model.save(tmp_path / "model")
    (tmp_path / "text.txt").write_text("the cat sat on the mat\n" * 30)
    assert run(["cache"]) == 0
    assert "Kept: 0 texts" in capsys.readouterr().out
    assert run(["evaluate", "model", "text.txt"]) == 0
    capsys.readouterr()
    assert run(["cache", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["folder"] == str(tmp_path / "cache")
    assert len(listed["entries"]) == 1
    assert run(["cache", "--clear"]) == 0
    assert "Deleted: 1 text," in capsys.readouterr().out
    assert run(["cache", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["entries"] == []
    assert run(["evaluate", "model", "text.txt"]) == 0
