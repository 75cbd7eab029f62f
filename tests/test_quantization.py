"""Fewer bits: what is written is the model, a little rounded, and the report is true."""

import numpy as np
import pytest

from carousel.errors import FolderError, SettingsError, TextError
from carousel.evaluate import evaluate
from carousel.model import LanguageModel
from carousel.pretrained import PRETRAINED, pretrained_models
from carousel.quantization import quantize
from carousel.storage.directory import Directory
from carousel.storage.model_folder import write_folder
from carousel.storage.number_formats import Tiled, from_tiles, quantize_rows, to_bfloat16
from carousel.study.stories import tell_stories
from front_door import parts

TO = ["int8", "bfloat16"]


@pytest.fixture(scope="module")
def stories(tmp_path_factory):
    """New stories of combinations that the shipped models have not seen."""
    path = tmp_path_factory.mktemp("text") / "stories.txt"
    told = tell_stories(60, seed=11, held_out=True)
    path.write_text("".join(story.text + "\n" for story in told))
    return path


@pytest.mark.parametrize("dtype", TO)
@pytest.mark.parametrize("name", [n for n in pretrained_models() if n.startswith("stories")])
def test_a_trained_model_keeps_its_perplexity(stories, tmp_path, monkeypatch, name, dtype):
    monkeypatch.setattr("carousel.quantization.measure_speed", lambda models: [1.0] * len(models))
    told = quantize(name, tmp_path / "m", dtype, on=[stories])
    after = LanguageModel.load(tmp_path / "m")
    assert (
        told.perplexity_before == evaluate(*parts(LanguageModel.load(name)), [stories]).perplexity
    )
    assert told.perplexity_after == evaluate(*parts(after), [stories]).perplexity
    assert told.perplexity_after == pytest.approx(told.perplexity_before, rel=0.01)
    assert told.perplexity_after != told.perplexity_before


@pytest.mark.parametrize("dtype", TO)
def test_what_is_written_is_the_model_rounded(tmp_path, monkeypatch, dtype):
    monkeypatch.setattr("carousel.quantization.ROUND_SECONDS", 0.001)
    told = quantize("stories-lstm", tmp_path / "m", dtype)
    before, after = LanguageModel.load("stories-lstm"), LanguageModel.load(tmp_path / "m")
    assert after.tokenizer.to_json() == before.tokenizer.to_json()
    for name, weight in before.model.weights.items():
        stored = after.model.stored[name]
        if weight.ndim == 1:
            np.testing.assert_array_equal(stored, weight)
        elif isinstance(stored, Tiled):
            np.testing.assert_array_equal(from_tiles(stored).values, quantize_rows(weight).values)
        else:
            np.testing.assert_array_equal(stored, to_bfloat16(weight))
    for file in ("recipe.toml", "metrics.jsonl"):
        assert (tmp_path / "m" / file).read_bytes() == (
            PRETRAINED / "stories-lstm" / file
        ).read_bytes()
    size = (tmp_path / "m" / "model.safetensors").stat().st_size
    assert told.bytes_after == size
    assert told.bytes_before == (PRETRAINED / "stories-lstm" / "model.safetensors").stat().st_size
    assert told.bytes_before / size > {"int8": 3.4, "bfloat16": 1.8}[dtype]
    assert told.perplexity_before is None
    assert told.perplexity_after is None
    assert told.words_per_second_before > 0
    assert told.words_per_second_after > 0


def test_what_can_not_be_quantized(tmp_path, monkeypatch):
    monkeypatch.setattr("carousel.quantization.ROUND_SECONDS", 0.001)
    with pytest.raises(SettingsError, match="to bfloat16 or int8, not 'int4'"):
        quantize("stories-rnn", tmp_path / "m", "int4")
    with pytest.raises(SettingsError, match="not 'float32'"):
        quantize("stories-rnn", tmp_path / "m", "float32")
    with pytest.raises(TextError, match="is not there"):
        quantize("stories-rnn", tmp_path / "m", "int8", on=[tmp_path / "none.txt"])
    quantize("stories-rnn", tmp_path / "n", "int8")
    with pytest.raises(SettingsError, match="is in int8 already"):
        quantize(tmp_path / "n", tmp_path / "again", "bfloat16")
    with pytest.raises(FolderError, match="is kept"):
        quantize("stories-gru", tmp_path / "n", "int8")
    quantize("stories-gru", tmp_path / "n", "int8", force=True)
    assert LanguageModel.load(tmp_path / "n").config.cell == "gru"


def test_a_folder_that_is_replaced_meanwhile_is_not_mixed(tmp_path, monkeypatch, make_model):
    """What training left beside the weights is of the same model as they."""
    monkeypatch.setattr("carousel.quantization.ROUND_SECONDS", 0.001)
    path, open_file = tmp_path / "m", Directory.open_file
    models = {name: make_model(text=f"the {name}") for name in ("old", "new")}

    def write(name):
        lm, tokenizer = parts(models[name])
        extra = {"recipe.toml": f"seed = '{name}'\n"}
        write_folder(path, lm.config, lm.weights, tokenizer, extra=extra, force=True)

    def replace_then_open(directory, name):
        if name == "model.safetensors" and path in waiting:
            waiting.remove(path)
            write("new")
        return open_file(directory, name)

    write("old")
    waiting = [path]
    monkeypatch.setattr(Directory, "open_file", replace_then_open)
    quantize(path, tmp_path / "q", "int8")
    assert not waiting
    (word,) = models.keys() & set(LanguageModel.load(tmp_path / "q").tokenizer.tokens())
    assert word in (tmp_path / "q" / "recipe.toml").read_text()
