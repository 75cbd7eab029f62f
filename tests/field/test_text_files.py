"""Text as people keep it: packed, in other encodings, among models, in pipes, with bad files."""

import bz2
import codecs
import gzip
import io
import lzma
import os
import threading
import zipfile

import pytest

from carousel.cli import run
from carousel.errors import SettingsError, SkippedWarning, TextError
from carousel.text.corpus import build_corpus
from carousel.text.decoding import guess_encoding
from carousel.text.files import find_files, read_pieces
from carousel.text.vocabulary import train_tokenizer

TEXT = "krish likes pizza\nand pâté for zoë\n"


def read(*sources, **options):
    return "".join(read_pieces(find_files(sources), **options))


# 7: model folders and runs among the texts


def test_models_and_runs_in_a_text_s_folder_are_left_out(tmp_path, make_model):
    (tmp_path / "notes.txt").write_text(TEXT)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "more.txt").write_text("more\n")
    make_model().save(tmp_path / "model")
    (tmp_path / "model" / "recipe.toml").write_text("epochs = 3\n")
    make_model().save(tmp_path / "deep" / "old")
    (tmp_path / "deep" / "old" / "plots").mkdir()
    (tmp_path / "deep" / "old" / "plots" / "notes.csv").write_text("1,2\n")
    (tmp_path / "model.run").mkdir()
    (tmp_path / "model.run" / "run.json").write_text("{}\n")
    for source in (tmp_path, str(tmp_path / "**" / "*")):
        with pytest.warns(SkippedWarning, match="left out, as a model or its run is in it") as told:
            files = find_files([source])
        assert [path.name for path in files] == ["more.txt", "notes.txt"]
        for name in ("model", "old", "model.run"):
            assert str(tmp_path / name) in str(told[0].message) or name == "old"
    # A folder that is named itself is what is meant.
    config = tmp_path / "model" / "config.json"
    assert find_files([config]) == [config]


def test_json_of_other_kinds_is_text(tmp_path):
    (tmp_path / "config.json").write_text('{"a": 1}\n')
    assert [path.name for path in find_files([tmp_path])] == ["config.json"]


# 8: bad files among good ones


@pytest.fixture
def mixed(tmp_path):
    contents = {
        "a.txt": TEXT.encode(),
        "b.txt": TEXT.encode("cp1252"),
        "c.txt": b"",
        "d.txt": b"fine\n",
        "e.txt": b"abc\0\1\2\0def",
        "f.txt.gz": gzip.compress(TEXT.encode())[:-5],
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return [tmp_path / name for name in contents]


def test_all_bad_files_are_named_in_a_line(mixed):
    with pytest.raises(TextError) as error:
        list(read_pieces(mixed))
    message = str(error.value)
    assert message.startswith("4 files can't be read as text: ")
    for name in ("b.txt", "c.txt", "e.txt", "f.txt.gz"):
        assert f"{name} is " in message
    assert "a.txt" not in message
    assert "d.txt" not in message
    assert "\n" not in message


def test_bad_files_are_skipped_if_so_chosen(mixed):
    with pytest.warns(SkippedWarning, match=r"skipped: 4 files.*b\.txt.*c\.txt.*e\.txt.*f\.txt"):
        good = find_files(mixed, skip_bad_files=True)
    assert [path.name for path in good] == ["a.txt", "d.txt"]
    assert "".join(read_pieces(good)) == TEXT + "fine\n"
    assert find_files(good, skip_bad_files=True) == good
    with pytest.raises(TextError, match="2 files"):
        find_files(mixed[1:3], skip_bad_files=True)


def test_of_very_many_bad_files_some_are_named(tmp_path):
    for number in range(30):
        (tmp_path / f"{number}.txt").write_bytes(b"\xff")
    with pytest.raises(TextError, match=r"30 files.*; and 22 more$"):
        read(tmp_path)


# 9: encodings and packed files


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16", "utf-8", "mac-roman"])
def test_an_encoding_that_is_named(tmp_path, encoding):
    (tmp_path / "t.txt").write_bytes(TEXT.encode(encoding))
    assert read(tmp_path / "t.txt", encoding=encoding) == TEXT


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-32-le", codecs.BOM_UTF32_LE),
        ("utf-32-be", codecs.BOM_UTF32_BE),
        ("utf-8", codecs.BOM_UTF8),
    ],
)
def test_marks_tell_the_encoding(tmp_path, encoding, mark):
    path = tmp_path / "t.txt"
    path.write_bytes(mark + "pâté 👍\r\nхлеб".encode(encoding))
    assert read(path) == "pâté 👍\nхлеб\n"
    assert find_files([tmp_path]) == [path]


SAMPLES = {
    "cp1252": "Ein schöner Tag für größere Bäume, sagte er.\n“C’est l’été à la forêt”, dit-elle.",
    "cp1251": "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива.",
    "koi8-r": "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива.",
    "shift_jis": "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。",
    "euc-kr": "나랏말싸미 한국어 책을 읽는 사람은 많다. 오늘은 날씨가 좋다.",
    "gb18030": "学而时习之，不亦说乎？有朋自远方来，不亦乐乎？今天天气很好，我们去公园玩。",
    "utf-16-le": "krish likes pizza and burger",
    "utf-16-be": "krish likes pizza and burger",
}


@pytest.mark.parametrize("encoding", SAMPLES)
def test_an_error_names_the_likely_encoding(tmp_path, encoding):
    path = tmp_path / "t.txt"
    path.write_bytes(SAMPLES[encoding].encode(encoding))
    with pytest.raises(TextError, match=f"it looks like {encoding}: use --encoding {encoding}"):
        read(path)
    assert read(path, encoding=encoding) == SAMPLES[encoding] + "\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("ein schöner Tag für größere Bäume", "cp1252"),
        ("Kerätty työ on hyvä", "cp1252"),
        ("Это было давно", "cp1251"),
        ("в доме never жил", "koi8-r"),
    ],
)
def test_short_texts_of_few_signs(text, encoding):
    assert guess_encoding(text.encode(encoding)) == encoding


@pytest.mark.parametrize("noise", [bytes(range(256)) * 4, b"\xff" * 100, b"\x89PNG\r\n\x1a\n\0\0"])
def test_what_is_no_text_looks_like_no_encoding(noise):
    assert guess_encoding(noise) is None


@pytest.mark.parametrize("name", ["klingon", "rot13", "base64", "hex", ""])
def test_what_is_no_encoding_is_told(tmp_path, name):
    (tmp_path / "t.txt").write_text(TEXT)
    with pytest.raises(SettingsError, match="is not an encoding of text"):
        read(tmp_path / "t.txt", encoding=name)


def test_the_cache_knows_encodings_apart(tmp_path):
    (tmp_path / "t.txt").write_bytes("pâté pâté".encode("cp1252"))
    tokenizer = train_tokenizer("chars", ["pâté ё"])
    unknown = [
        build_corpus(
            [tmp_path / "t.txt"], tokenizer, encoding=encoding, cache=tmp_path / "c"
        ).counts.unknown
        for encoding in ("cp1252", "cp1251", "cp1252")
    ]
    assert unknown[0] == unknown[2] == 0 < unknown[1]


@pytest.mark.parametrize("word", ["pâté", "ÜBER", "naïveté"])
def test_replacing_stays_within_the_word(tmp_path, word):
    path = tmp_path / "t.txt"
    path.write_bytes(f"a {word} b".encode("cp1252"))
    text = read(path, encoding_errors="replace").rstrip("\n")
    broken = "".join(c if c.isascii() else "\ufffd" for c in word)
    assert text == f"a {broken} b"
    tokenizer = train_tokenizer("words", [text], lowercase=False)
    assert [tokenizer.token(id) for id in tokenizer.encode(text)] == ["a", broken, "b"]
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_stray_zeros_are_replaced_if_so_chosen(tmp_path):
    path = tmp_path / "t.txt"
    path.write_bytes(b"one\0two\n\0\n")
    with pytest.raises(TextError, match=r"byte 3 is 0; .*--encoding-errors replace"):
        read(path)
    assert read(path, encoding_errors="replace") == "one\ufffdtwo\n\ufffd\n"


def zipped(data):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/", "")
        archive.writestr("folder/a.txt", data)
    return buffer.getvalue()


PACKERS = {".bz2": bz2.compress, ".xz": lzma.compress, ".zip": zipped, ".gz": gzip.compress}


@pytest.mark.parametrize("packing", PACKERS)
def test_packed_files(tmp_path, packing):
    data = PACKERS[packing](TEXT.encode())
    for name in (f"t.txt{packing}", f"T.TXT{packing.upper()}", "named-otherwise"):
        (tmp_path / name).write_bytes(data)
        assert read(tmp_path / name) == TEXT
    assert len(find_files([tmp_path])) == 3
    (tmp_path / f"cut{packing}").write_bytes(data[:-12])
    with pytest.raises(TextError, match=rf"cut\{packing} is not a whole \{packing} file"):
        read(tmp_path / f"cut{packing}")


def test_a_zip_file_of_several_texts(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("a.txt", "one\n")
        archive.writestr("b.txt", "\ufefftwo")
    assert read(tmp_path / "t.zip") == "one\ntwo\n"


def test_zstd_is_read_or_named(tmp_path):
    (tmp_path / "t.zst").write_bytes(b"\x28\xb5\x2f\xfd\x04\x00\x29\x00\x00hello\x5d\x2c\xe1\x0d")
    try:
        import zstandard  # noqa: F401
    except ImportError:
        with pytest.raises(TextError, match="is packed by zstd: unpack it, or pip install"):
            read(tmp_path / "t.zst")
    else:
        pytest.skip("the package is here")


# 10: what can be read only once


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_read_once(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=[TEXT])
    writer.start()
    files = find_files([pipe, pipe])
    writer.join()
    assert list(read_pieces(files)) == [TEXT, TEXT]
    assert list(read_pieces(files)) == [TEXT, TEXT]


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="no /dev/fd here")
def test_a_process_substitution_is_read_once():
    reading, writing = os.pipe()
    os.write(writing, b"from <(...)\n")
    os.close(writing)
    try:
        files = find_files([f"/dev/fd/{reading}"])
    finally:
        os.close(reading)
    assert list(read_pieces(files)) == list(read_pieces(files)) == ["from <(...)\n"]


def test_errors_about_a_pipe_name_the_pipe(tmp_path, monkeypatch):
    class Input:
        buffer = io.BytesIO(b"caf\xe9 au lait")

    monkeypatch.setattr("sys.stdin", Input)
    with pytest.raises(TextError, match=r"^standard input is not UTF-8 text: byte 3"):
        read("-")


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero", "/dev/urandom"])
def test_devices_have_no_text(device):
    if not os.path.exists(device):
        pytest.skip(f"no {device} here")
    with pytest.raises(TextError, match="is a device: there is no text in it"):
        find_files([device])


def test_links_that_lead_upward_end(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "t.txt").write_text(TEXT)
    for name in ("up", "again"):
        (tmp_path / "a" / name).symlink_to(tmp_path, target_is_directory=True)
    assert [path.name for path in find_files([str(tmp_path / "**" / "*.txt")])] == ["t.txt"]
    assert [path.name for path in find_files([tmp_path])] == ["t.txt"]


# The flags, in every command that reads text files


SMALL = ["--hidden-size", "4", "--embedding-size", "4", "--epochs", "1"]
COMMANDS = {
    "evaluate": ["evaluate", "m"],
    "phrases": ["phrases", "m", "the cat", "--words", "1:2", "--threshold", "0", "--in"],
    "quantize": ["quantize", "m", "--to", "int8", "--out", "q", "--force", "--on"],
    "train": ["train", "--out", "t", "--force", *SMALL],
}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_the_flags_of_every_command(tmp_path, capsys, make_model, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.txt").write_bytes(b"caf\xe9")
    text = "the cat sat on a mat\n" * 30
    (tmp_path / "good.txt").write_text(text, encoding="utf-16")
    (tmp_path / "le.txt").write_text(text, encoding="utf-16-le")
    make_model(text=text).save(tmp_path / "m")
    assert run([*command, "good.txt"]) == 0
    assert run([*command, "le.txt", "--encoding", "utf-16-le"]) == 0
    capsys.readouterr()
    assert run([*command, "bad.txt"]) == 2
    assert "it looks like cp1252: use --encoding cp1252" in capsys.readouterr().err
    assert run([*command, "[bg]*d.txt"]) == 2
    capsys.readouterr()
    assert run([*command, "[bg]*d.txt", "--skip-bad-files"]) == 0
    assert "skipped: bad.txt is not UTF-8" in capsys.readouterr().err
