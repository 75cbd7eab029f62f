"""``truecase.json``: written, read, checked, and carried along."""

import json
import shutil

import pytest

import carousel
from carousel.errors import FolderError
from carousel.pretrained import DEFAULT, PRETRAINED
from carousel.quantization import quantize
from carousel.storage.model_folder import read_folder
from carousel.storage.truecase import TRUECASE_FILE, forms_to_json, parse_forms


@pytest.fixture
def capitals(tmp_path):
    """A model folder that knows a name."""
    folder = tmp_path / "capitals"
    shutil.copytree(PRETRAINED / DEFAULT, folder)
    (folder / TRUECASE_FILE).write_text(forms_to_json({"krish": "Krish", "pizza": "PIZZA"}))
    return folder


def test_forms_go_with_the_model(capitals, tmp_path):
    model = carousel.load(capitals)
    assert model.tokenizer.forms == {"krish": "Krish", "pizza": "PIZZA"}
    text = model.generate("krish likes pizza so he", max_tokens=2, temperature=0)
    assert text == "krish likes pizza so he orders PIZZA"
    model.save(tmp_path / "saved")
    quantize(capitals, tmp_path / "int8", "int8")
    for name in ("saved", "int8"):
        assert carousel.load(tmp_path / name).tokenizer.forms == model.tokenizer.forms


def test_a_model_without_forms_has_no_such_file(tmp_path):
    carousel.load(DEFAULT).save(tmp_path / "saved")
    assert not (tmp_path / "saved" / TRUECASE_FILE).exists()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("{", "is not JSON"),
        ([], "is not of format 1"),
        ({"format": 2, "forms": []}, "is not of format 1"),
        ({"format": 1}, "must hold a list of forms"),
        ({"format": 1, "forms": {"krish": "Krish"}}, "must hold a list of forms"),
        ({"format": 1, "forms": [3]}, "a form is no text, or a word has two"),
        ({"format": 1, "forms": ["Krish", "KRISH"]}, "a form is no text, or a word has two"),
        ({"format": 1, "forms": ["Sushi"]}, "'Sushi' is no word of the model"),
        ({"format": 1, "forms": ["\ud800"]}, "is no word of the model"),
        ({"format": 1, "forms": ["\x1b[2J"]}, "is no word of the model"),
    ],
)
def test_a_damaged_file_is_refused(capitals, table, message):
    text = table if isinstance(table, str) else json.dumps(table)
    (capitals / TRUECASE_FILE).write_text(text)
    with pytest.raises(FolderError, match=message) as error:
        read_folder(capitals)
    assert str(capitals / TRUECASE_FILE) in str(error.value)
    assert "\x1b" not in str(error.value)


def test_only_words_in_lower_case_have_forms(make_model, tmp_path):
    for kind in ("chars", "whitespace"):
        tokenizer = make_model(kind=kind).tokenizer
        with pytest.raises(FolderError, match="are not words in lower case"):
            parse_forms(forms_to_json({"a": "A"}), tokenizer, TRUECASE_FILE)
