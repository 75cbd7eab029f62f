"""Long texts, several texts, repetitions and blocked words at the command line."""

import json
import unicodedata

import pytest

from carousel.cli import run
from carousel.predict.next_words import read_ids

TEXTS = {
    "Latin": "the cat sat on the mat and the dog ran\n",
    "Cyrillic": "кот спит дома а пёс ест рыбу\n",
    "Hebrew": "הכלב אכל את הדג והחתול ישן\n",
    "quotation marks": "she said 'yes' and the dogs' bowl (red) cost $5\n",
}


@pytest.fixture(params=["words", "whitespace", "chars", "bpe"])
def kind(request):
    return request.param


@pytest.fixture
def folder(tmp_path, monkeypatch, make_model, kind):
    monkeypatch.chdir(tmp_path)
    text = TEXTS["Latin"] * 3
    make_model(kind=kind, text=text, vocab=280 if kind == "bpe" else None).save("m")
    return tmp_path


@pytest.fixture
def call(folder, capsys):
    def call(*arguments, code=0):
        assert run(list(arguments)) == code
        captured = capsys.readouterr()
        return captured.out if code == 0 else captured.err

    return call


def lines_of(out):
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_generation_decodes_each_token_once(make_model, kind, text, monkeypatch):
    """What took quadratic time: all tokens so far were decoded at each of them."""
    from carousel.text.tokenizer import Tokenizer

    model = make_model(kind=kind, text=text * 3, vocab=280 if kind == "bpe" else None)
    decoded = []
    decode = Tokenizer.decode
    monkeypatch.setattr(
        Tokenizer, "decode", lambda self, ids: decoded.append(len(ids)) or decode(self, ids)
    )
    token = Tokenizer.token
    asked = []
    monkeypatch.setattr(Tokenizer, "token", lambda self, id: asked.append(id) or token(self, id))
    pieces = list(model.stream(text.split()[0], max_tokens=300, seed=1))
    assert len(pieces) > 20
    assert decoded == []
    assert len(asked) <= 310


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_pieces_are_the_text_of_the_tokens(make_model, kind, text):
    model = make_model(kind=kind, text=text * 3, vocab=280 if kind == "bpe" else None, seed=3)
    tokenizer, start = model.tokenizer, text.split()[0]
    for seed in range(3):
        drawn = []
        step = model.model.step
        ids = tokenizer.encode(start)
        model.model.step = lambda ids, state, step=step, drawn=drawn: (
            drawn.extend(ids) or step(ids, state)
        )
        pieces = "".join(model.stream(start, max_tokens=60, seed=seed))
        model.model.step = step
        read_ids(model.model, tokenizer, ids)
        # The last token is not read again. Half a character at the end is not shown.
        whole = tokenizer.decode([*ids, *drawn]).rstrip("\ufffd")
        assert (start + pieces).startswith(whole.rstrip("'\"($ "))


def test_several_prompts_and_samples(call, folder):
    (folder / "p.txt").write_text("the cat\nthe dog ran\nthe\n")
    out = call("generate", "m", "--input", "p.txt", "--samples", "2", "--seed", "4", "--json",
               "--max-tokens", "9")  # fmt: skip
    rows = lines_of(out)
    assert [row["text"] for row in rows] == ["the cat", "the dog ran", "the"]
    for row in rows:
        assert len(row["generated"]) == 2
        for number, text in enumerate(row["generated"]):
            alone = call("generate", "m", row["text"], "--seed", str(4 + number), "--json",
                         "--max-tokens", "9")  # fmt: skip
            assert lines_of(alone)[0]["generated"] == text


def test_several_samples_of_one_prompt_for_people(call):
    out = call("generate", "m", "the cat", "--samples", "3", "--seed", "1", "--max-tokens", "6")
    assert out.count("the cat") >= 3


def test_no_repeat_and_penalty(call):
    plain = call("generate", "m", "the", "--temperature", "0", "--max-tokens", "40")
    once = call("generate", "m", "the", "--temperature", "0", "--max-tokens", "40",
                "--no-repeat", "1")  # fmt: skip
    other = call("generate", "m", "the", "--temperature", "0", "--max-tokens", "40",
                 "--repetition-penalty", "1000")  # fmt: skip
    assert plain != once
    assert plain != other


def test_beam_search_is_not_random(call, folder):
    (folder / "p.txt").write_text("the cat\nthe dog\n")
    first = call("generate", "m", "--input", "p.txt", "--beam", "3", "--max-tokens", "6", "--json")
    assert call("generate", "m", "--input", "p.txt", "--beam", "3", "--max-tokens", "6", "--json",
                "--seed", "9") == first  # fmt: skip
    error = call("generate", "m", "the", "--beam", "3", "--samples", "2", code=2)
    assert "leave out --samples or --beam" in error
    assert "leave out temperature" in call("generate", "m", "the", "--beam", "3", "--top-k", "2",
                                           code=2)  # fmt: skip


@pytest.mark.parametrize("words", ["CAT\n", "the\nmat\n", "\n  dog \n\nran\n"])
def test_a_file_of_blocked_words(call, folder, words):
    (folder / "b.txt").write_text(words)
    blocked = {word.strip().casefold() for word in words.split()}
    for flags in ([], ["--prefix", words.strip()[:1].lower()]):
        rows = json.loads(call("predict", "m", "sat", "-k", "40", "--block", "b.txt", "--json",
                               *flags))  # fmt: skip
        assert not blocked & {row["word"].casefold() for row in rows["predictions"]}
    (folder / "p.txt").write_text("sat\nand\n")
    for row in lines_of(call("predict", "m", "--input", "p.txt", "--block", "b.txt", "--json")):
        assert not blocked & {found["word"].casefold() for found in row["predictions"]}
    for seed in range(3):
        out = call("generate", "m", "sat", "--block", "b.txt", "--seed", str(seed), "--json")
        generated = json.loads(out)["generated"]
        seen = (c for c in generated if unicodedata.category(c) != "Cf")
        cut = "".join(c if unicodedata.category(c)[0] in "LM" or c in "'’" else " " for c in seen)
        assert not blocked & set(cut.casefold().split())


def test_a_file_that_is_no_list_of_words(call, folder):
    (folder / "b.txt").write_text("cat\nnew york\n")
    error = call("predict", "m", "the", "--block", "b.txt", code=2)
    assert "b.txt: 'new york' can't be blocked: it is not one word" in error
    assert "none.txt" in call("predict", "m", "the", "--block", "none.txt", code=2)


def test_an_unknown_prompt_is_named_by_its_number(tmp_path, monkeypatch, capsys, make_model):
    monkeypatch.chdir(tmp_path)
    make_model().save("m")
    (tmp_path / "p.txt").write_text("the cat\nxyzzy\n")
    assert run(["generate", "m", "--input", "p.txt"]) == 2
    assert "prompt 2: none of the words of 'xyzzy' is known" in capsys.readouterr().err


# 17: explain


@pytest.mark.parametrize("words", [101, 250, 400])
def test_explain_shows_the_end_of_a_long_text_and_says_so(
    tmp_path, monkeypatch, capsys, make_model, words
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    make_model(hidden_size=3, layers=1).save("m")
    text = " ".join((["the", "cat", "likes", "pizza"] * words)[:words])
    assert run(["explain", "m", text]) == 0
    captured = capsys.readouterr()
    assert f"the text has {words} tokens; the last 100 are shown, --all" in captured.err
    assert run(["explain", "m", text, "--all"]) == 0
    everything = capsys.readouterr()
    assert everything.err == ""
    assert len(captured.out.splitlines()) < len(everything.out.splitlines())
    assert run(["explain", "m", text, "--json"]) == 0
    short = json.loads(capsys.readouterr().out)["texts"][0]
    assert run(["explain", "m", text, "--json", "--all"]) == 0
    whole = json.loads(capsys.readouterr().out)["texts"][0]
    assert "words_before" not in whole
    assert short["words_before"] == len(whole["words"]) - 100
    assert short["words"] == whole["words"][-100:]
    assert short["tokens"] == whole["tokens"][-100:]
    assert short["next_words"] == whole["next_words"][-100:]
    layer, all_words = short["layers"][0], whole["layers"][0]
    assert layer["belt"] == [row[-100:] for row in all_words["belt"][-100:]]
    before = [sum(row[:-100]) for row in all_words["belt"][-100:]]
    assert layer["belt_before"] == pytest.approx(before)
    assert layer["gates"]["forget"]["mean"] == all_words["gates"]["forget"]["mean"][-100:]


def test_a_short_text_is_shown_whole(tmp_path, monkeypatch, capsys, make_model):
    monkeypatch.chdir(tmp_path)
    make_model().save("m")
    assert run(["explain", "m", "the cat " * 50]) == 0
    assert capsys.readouterr().err == ""
