"""Carousel's models in transformers: the same numbers, its own tools, and the way back."""

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from carousel.cells import CELLS
from carousel.errors import CarouselError
from carousel.model import LanguageModel
from carousel.pretrained import PRETRAINED
from carousel.storage.model_folder import read_folder, write_folder
from carousel.storage.number_formats import cast_weights
from carousel.text.vocabulary import train_tokenizer
from odd_texts import texts

transformers = pytest.importorskip("transformers")

from carousel.convert.transformers import (  # noqa: E402
    CarouselConfig,
    CarouselForCausalLM,
    CarouselTokenizer,
    from_carousel,
)
from carousel.convert.transformers_folder import (  # noqa: E402
    export_transformers,
    import_transformers,
    load_transformers,
)
from carousel.convert.transformers_padding import read_padded  # noqa: E402

DECODERS = {
    "plain": {},
    "projected": {"projection_size": 3},
    "tied": {"tied": True},
    "adaptive": {"cutoffs": (8, 14), "tail_sizes": (4, 2)},
    "adaptive tied": {"tied": True, "cutoffs": (8, 14), "tail_sizes": (5, 5)},
    "without biases": {"biases": False},
    "each line alone": {"carry_state": False},
}
SENTENCES = ([1, 2, 9, 5, 17, 0, 1, 3], [1], [1, 21, 1, 1, 4], [1, 3, 3, 8, 20])
STORIES = PRETRAINED / "stories-lstm"


@pytest.fixture(scope="module")
def make_folder(make_model, tmp_path_factory):
    """A function that writes a random model's folder."""

    def make(dtype="float32", **sizes):
        model = make_model(**sizes)
        config = model.config.__class__(**{**vars(model.config), "dtype": dtype})
        weights = {name: model.model.weights[name] for name in config.weight_shapes()}
        folder = tmp_path_factory.mktemp("model") / "folder"
        write_folder(folder, config, cast_weights(weights, dtype), model.tokenizer)
        return folder

    return make


@pytest.fixture(scope="module")
def stories(tmp_path_factory):
    """The folder of a shipped model in transformers' format."""
    out = tmp_path_factory.mktemp("stories") / "transformers"
    export_transformers(STORIES, out)
    return out


def padded(sentences, side="left"):
    """``ids [B, T]`` and the mask of a batch."""
    longest = max(map(len, sentences))
    rows = [[1] * (longest - len(ids)) for ids in sentences]
    ones = [[1] * len(ids) for ids in sentences]
    zeros = [[0] * len(row) for row in rows]
    pairs = (sentences, rows), (ones, zeros)
    if side == "left":
        pairs = tuple(pair[::-1] for pair in pairs)
    return tuple(torch.tensor([[*a, *b] for a, b in zip(*pair, strict=True)]) for pair in pairs)


def log_softmax(logits):
    return torch.log_softmax(torch.as_tensor(logits), -1)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("cell", CELLS)
def test_logits_and_greedy_text_are_ours(make_folder, cell, decoder):
    for layers in (1, 2, 3):
        folder = make_folder(cell=cell, layers=layers, **DECODERS[decoder])
        ours = LanguageModel.load(folder, backend="numpy")
        theirs = load_transformers(folder)
        ids, mask = padded(SENTENCES)
        with torch.no_grad():
            batch = theirs(input_ids=ids, attention_mask=mask)
        for row, sentence in enumerate(SENTENCES):
            reading = ours.model.read(np.array(sentence)[:, None], ours.model.initial_state())
            expected = torch.tensor(ours.model.logits(reading.hidden[:, 0]))
            with torch.no_grad():
                alone = theirs(torch.tensor([sentence]))
            torch.testing.assert_close(alone.logits[0], expected, atol=1e-5, rtol=0)
            in_batch = batch.logits[row, -len(sentence) :]
            torch.testing.assert_close(in_batch, expected, atol=1e-5, rtol=0)
            for found, state in zip(batch.cache.state, reading.state, strict=True):
                torch.testing.assert_close(
                    found[:, row], torch.tensor(state[:, 0]), atol=1e-5, rtol=0
                )
        if layers != 2:
            continue
        text, count = "the cat likes", 6
        prompt = from_carousel(ours.tokenizer)(text, return_tensors="pt")
        greedy = theirs.generate(**prompt, max_new_tokens=count, do_sample=False, eos_token_id=[])
        shown = ours.tokenizer.decode(greedy[0, 1:].tolist())
        assert shown == ours.generate(text, temperature=0, max_tokens=count)


@pytest.mark.parametrize("cell", ["lstm", "gru-reset-before"])
def test_padding_anywhere_is_not_read(make_folder, cell):
    model = load_transformers(make_folder(cell=cell, layers=2))
    ids, mask = padded(SENTENCES, "right")
    generator = torch.Generator().manual_seed(0)
    shuffle = torch.rand(mask.shape, generator=generator).argsort(1)
    # Padding in the middle, too: the tokens keep their order.
    spread_mask = mask.gather(1, shuffle)
    spread = torch.ones_like(ids)
    for row, sentence in enumerate(SENTENCES):
        spread[row, spread_mask[row].bool()] = torch.tensor(sentence)
    with torch.no_grad():
        right, mixed = (model(i, attention_mask=m) for i, m in ((ids, mask), (spread, spread_mask)))
    for one, other in zip(right.cache.state, mixed.cache.state, strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(right.logits[mask.bool()], mixed.logits[spread_mask.bool()])
    # A sequence of nothing but padding keeps its state.
    nothing = torch.zeros_like(mask)
    with torch.no_grad():
        after = model(ids, attention_mask=nothing, cache=right.cache)
    for before, kept in zip(right.cache.state, after.cache.state, strict=True):
        assert torch.equal(before, kept)


def test_the_state_is_carried_word_by_word(make_folder):
    model = load_transformers(make_folder(layers=2))
    ids, mask = padded(SENTENCES)
    with torch.no_grad():
        whole = model(ids, attention_mask=mask)
        cache, logits = None, []
        for t in range(ids.shape[1]):
            step = model(ids[:, t : t + 1], attention_mask=mask[:, : t + 1], cache=cache)
            cache = step.cache
            logits.append(step.logits)
    assert cache.get_seq_length() == ids.shape[1]
    read = mask.bool()
    torch.testing.assert_close(torch.cat(logits, 1)[read], whole.logits[read])
    last = model(ids, attention_mask=mask, logits_to_keep=2).logits
    torch.testing.assert_close(last, whole.logits[:, -2:])
    embedded = model(inputs_embeds=model.get_input_embeddings()(ids), attention_mask=mask)
    torch.testing.assert_close(embedded.logits, whole.logits)
    with pytest.raises(ValueError, match="not both"):
        model()


def test_hidden_states_are_those_of_a_trace(make_folder):
    folder = make_folder(layers=3)
    ours, model = LanguageModel.load(folder, backend="numpy"), load_transformers(folder)
    ids, mask = padded(SENTENCES)
    with torch.no_grad():
        hidden = model(ids, attention_mask=mask, output_hidden_states=True).hidden_states
        assert model(ids).hidden_states is None
    for row, sentence in enumerate(SENTENCES):
        points = [f"layers.{layer}.h" for layer in range(3)]
        column = np.array(sentence)[:, None]
        values = ours.model.read(column, ours.model.initial_state(), points).values
        expected = [ours.model.weights["embedding.weight"][column], *(values[p] for p in points)]
        for found, right in zip(hidden, expected, strict=True):
            np.testing.assert_allclose(found[row, -len(sentence) :], right[:, 0], atol=1e-5)


def test_hidden_states_have_gradients(make_folder):
    model = load_transformers(make_folder(layers=2))
    output = model(torch.tensor(SENTENCES[:1]), output_hidden_states=True)
    for hidden in output.hidden_states:
        hidden.retain_grad()
    output.logits[0, -1].sum().backward()
    for hidden in output.hidden_states[:-1]:
        assert (hidden.grad[0] != 0).any(dim=1).all()  # all words count for the last one
    assert (output.hidden_states[-1].grad[0, -1] != 0).any()


def test_generation_goes_on_from_a_state(stories):
    model = transformers.AutoModelForCausalLM.from_pretrained(stories)
    start = torch.tensor([[1, 5, 9, 3]])
    options = {"do_sample": False, "eos_token_id": []}
    whole = model.generate(start, max_new_tokens=8, **options)
    first = model.generate(start, max_new_tokens=3, return_dict_in_generate=True, **options)
    mask = torch.ones_like(first.sequences)
    rest = model.generate(
        first.sequences, attention_mask=mask, cache=first.cache, max_new_tokens=5, **options
    )
    assert torch.equal(rest, whole)


def test_gradients_pass_padding(make_folder):
    for cell in ("gru", "cifg"):
        model = load_transformers(make_folder(cell=cell))
        ids, mask = padded(SENTENCES)
        labels = ids.masked_fill(mask == 0, -100)
        model(ids, attention_mask=mask, labels=labels).loss.backward()
        batch = {name: p.grad.clone() for name, p in model.named_parameters()}
        model.zero_grad()
        # The mean over tokens, one sentence at a time.
        counts = [len(sentence) - 1 for sentence in SENTENCES]
        for sentence, count in zip(SENTENCES, counts, strict=True):
            if count:
                one = torch.tensor([sentence])
                (model(one, labels=one).loss * count / sum(counts)).backward()
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(parameter.grad, batch[name], atol=1e-6, rtol=1e-4)


def test_generate_with_and_without_the_state(stories):
    model = transformers.AutoModelForCausalLM.from_pretrained(stories)
    tokenizer = transformers.AutoTokenizer.from_pretrained(stories)
    assert isinstance(model, CarouselForCausalLM)
    assert isinstance(tokenizer, CarouselTokenizer)
    batch = tokenizer(["krish likes pizza so he orders", "paul"], padding=True, return_tensors="pt")
    assert batch.attention_mask[1].tolist() == [0] * 5 + [1] * 2
    ways = (
        {"do_sample": False},
        {"do_sample": True, "top_k": 5, "temperature": 0.8},
        {"num_beams": 4, "num_return_sequences": 2},
        {"num_beams": 3, "do_sample": True},
    )
    for way in ways:
        made = []
        for use_cache in (True, False):
            torch.manual_seed(3)
            made.append(model.generate(**batch, max_new_tokens=12, use_cache=use_cache, **way))
        assert torch.equal(*made), way
        assert not (made[0][:, 7:] == 0).any()  # the unknown word
    ours = LanguageModel.load(STORIES)
    alone = tokenizer.decode(
        model.generate(**batch, max_new_tokens=12, do_sample=False)[1], skip_special_tokens=True
    )
    assert alone == ours.generate("paul", temperature=0, max_tokens=12)


def test_beams_are_the_likeliest_texts(make_folder):
    """As many beams as there are texts find the best of all."""
    model = load_transformers(make_folder(vocab=8, scale=1.5))
    start = torch.tensor([[1, 3]])
    found = model.generate(
        start,
        attention_mask=torch.ones_like(start),
        max_new_tokens=3,
        num_beams=64,
        eos_token_id=[],
    )
    everything = torch.tensor([[1, 3, *ids] for ids in itertools.product(range(1, 8), repeat=3)])
    with torch.no_grad():
        logits = model(everything).logits[:, 1:-1]
    logits[..., 0] = -torch.inf  # the unknown word
    scores = log_softmax(logits).gather(2, everything[:, 2:, None]).sum((1, 2))
    assert found[0].tolist() == everything[scores.argmax()].tolist()


def test_pipeline(stories):
    pipe = transformers.pipeline("text-generation", model=str(stories))
    prompts = ["krish likes pizza so he", "paul likes", "my name is"]
    together = pipe(prompts, batch_size=3, max_new_tokens=8, do_sample=False)
    ours = LanguageModel.load(STORIES)
    for prompt, (made,) in zip(prompts, together, strict=True):
        text = ours.generate(prompt, temperature=0, max_tokens=8)
        assert made["generated_text"] == text.split("\n")[0]


def test_trainer(make_folder, tmp_path):
    pytest.importorskip("accelerate")
    tokenizer = train_tokenizer("words", ["a b c d e f g h"])
    config = CarouselConfig(
        vocab_size=tokenizer.vocab_size, embedding_size=8, hidden_size=16, dropout=0.1
    )
    transformers.set_seed(0)
    model = CarouselForCausalLM(config)
    block = tokenizer.encode("a b c d e f g h\n" * 2)
    examples = [{"input_ids": block, "labels": block} for _ in range(32)]
    arguments = transformers.TrainingArguments(
        str(tmp_path / "run"),
        num_train_epochs=8,
        per_device_train_batch_size=8,
        learning_rate=0.03,
        report_to=[],
        disable_tqdm=True,
        save_strategy="no",
        use_cpu=True,
    )
    trainer = transformers.Trainer(model, arguments, train_dataset=examples, eval_dataset=examples)
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    after = trainer.evaluate()["eval_loss"]
    assert before > 1.9
    assert after < 0.5
    trainer.save_model(str(tmp_path / "saved"))
    from_carousel(tokenizer).save_pretrained(tmp_path / "saved")
    back = import_transformers(tmp_path / "saved", None, tmp_path / "folder").model
    assert back.next_words("a b c", k=1)[0].word == "d"


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_out_and_in_again(make_folder, tmp_path, decoder, dtype):
    folder = make_folder(dtype, layers=2, **DECODERS[decoder])
    export_transformers(folder, tmp_path / "out")
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    expected = load_transformers(folder).state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    for name, weight in loaded.state_dict().items():
        assert torch.equal(weight, expected[name]), name
    import_transformers(tmp_path / "out", None, tmp_path / "back")
    before, after = (LanguageModel.load(f, backend="numpy") for f in (folder, tmp_path / "back"))
    assert after.tokenizer.to_json() == before.tokenizer.to_json()
    for text in ("the cat sat", "he likes pizza so"):
        (one,), (other,) = ([m.next_words(text, k=1)[0]] for m in (before, after))
        assert one.word == other.word
        assert one.probability == pytest.approx(other.probability, abs=1e-5)


@pytest.mark.parametrize("kind", ["words", "whitespace", "chars", "bpe"])
def test_the_tokenizer_gives_the_same_ids_and_texts(kind):
    tokenizer = train_tokenizer(kind, ["krish likes pizza, he doesn't \U0001f44d\U0001f3fd\n so"])
    theirs = from_carousel(tokenizer)
    assert (theirs.bos_token_id, theirs.eos_token_id, theirs.pad_token_id) == (1, 1, 1)

    @given(texts)
    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    def check(text):
        if kind == "whitespace":  # there the token can be spelled out, but is called "\n" here
            text = text.replace("<eos>", "")
        ids = tokenizer.encode(text)
        assert theirs(text).input_ids == [1, *ids]
        assert theirs(text, add_special_tokens=False).input_ids == ids
        assert theirs.decode([1, *ids]) == "\n" + tokenizer.decode(ids)

    check()
    prompt, more = "krish likes", " pizza, he"
    ids = theirs(prompt + more).input_ids
    cut = len(theirs(prompt).input_ids)
    assert theirs.decode(ids[:cut], skip_special_tokens=True) == prompt
    assert theirs.decode(ids[cut:], skip_special_tokens=True) == more


def test_the_end_of_a_line_is_a_line_break_and_not_spelled_out():
    tokenizer = train_tokenizer("whitespace", ["a b"])
    assert tokenizer.encode("a <eos>") == [2, 1]
    assert from_carousel(tokenizer)("a <eos>\n").input_ids == [1, 2, 0, 1]


def change_json(path, **changes):
    table = json.loads(path.read_text())
    path.write_text(json.dumps(table | changes))


def lie(header_name, shape):
    def change(out):
        path = out / "model.safetensors"
        data = path.read_bytes()
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
        header[header_name]["shape"] = shape
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])

    return change


DAMAGES = {
    "another model": lambda out: change_json(out / "config.json", model_type="gpt2"),
    "a size that lies": lambda out: change_json(out / "config.json", hidden_size=2**24),
    "a size that is text": lambda out: change_json(out / "config.json", hidden_size="6"),
    "a bad cell": lambda out: change_json(out / "config.json", cell="\x1b[31mlstm"),
    "more tokens": lambda out: change_json(out / "config.json", vocab_size=23),
    "no JSON": lambda out: (out / "config.json").write_text("[" * 100_000),
    "a shape that lies": lie("network.embedding.weight", [2**20, 2**20]),
    "another shape": lie("network.embedding.weight", [5, 22]),
    "no weights": lambda out: (out / "model.safetensors").unlink(),
    "only a pickle": lambda out: (out / "model.safetensors").rename(out / "pytorch_model.bin"),
    "no tokenizer": lambda out: (out / "tokenizer.json").write_text("{}"),
    "added tokens": lambda out: change_json(out / "tokenizer.json", added_tokens=[]),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_folders_are_refused_in_one_line(make_folder, tmp_path, kind):
    export_transformers(make_folder(), tmp_path / "out")
    DAMAGES[kind](tmp_path / "out")
    with pytest.raises(CarouselError) as error:
        import_transformers(tmp_path / "out", None, tmp_path / "folder")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "folder").exists()


def test_what_is_there_is_kept(make_folder, tmp_path):
    folder = make_folder()
    export_transformers(folder, tmp_path / "out")
    with pytest.raises(CarouselError, match="exists and is kept"):
        export_transformers(folder, tmp_path / "out")
    export_transformers(folder, tmp_path / "out", force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    with pytest.raises(CarouselError, match="--vocab"):
        import_transformers(tmp_path / "out", "vocab.txt", tmp_path / "back")
    back = import_transformers(tmp_path / "out", None, tmp_path / "back").model
    weights = read_folder(folder).weights
    for name, weight in back.model.weights.items():
        np.testing.assert_array_equal(weight, weights[name])


@pytest.mark.parametrize("cell", ["lstm", "cifg"])
def test_each_line_may_be_a_text_of_its_own(make_folder, cell):
    model = load_transformers(make_folder(cell=cell, carry_state=False))
    first, second = [1, 5, 9], [1, 7, 3, 8]
    with torch.no_grad():
        both = model(torch.tensor([[*first, *second]])).logits[0]
        alone = [model(torch.tensor([line])).logits[0] for line in (first, second)]
        torch.testing.assert_close(both, torch.cat(alone))
        # Also in a batch, with lines that end at other times, and padding among them.
        ids, mask = padded([[*first, *second], [1, 2]])
        batch = model(ids, attention_mask=mask)
        torch.testing.assert_close(batch.logits[0], both)
        kept = model(torch.ones_like(ids), attention_mask=torch.zeros_like(mask), cache=batch.cache)
    for before, after in zip(batch.cache.state, kept.cache.state, strict=True):
        assert torch.equal(before, after)
    with pytest.raises(ValueError, match="input_ids tell where lines end"):
        model(inputs_embeds=model.get_input_embeddings()(ids))


def test_weights_that_were_not_loaded_start_as_in_training(make_folder, tmp_path):
    model = CarouselForCausalLM(CarouselConfig(vocab_size=9, embedding_size=3, hidden_size=4))
    forget = model.state_dict()["network.layers.0.fused.bias_ih_l0"][4:8]
    assert forget.tolist() == [1] * 4
    assert not model.state_dict()["network.decoder.bias"].any()


def test_a_padded_layer_needs_no_order(make_folder):
    model = load_transformers(make_folder(cell="lstm"))
    layer = model.network.layers[0]
    x = torch.randn(3, 2, 5)
    state = model.network.initial_state(2)
    y, after = read_padded(layer, x, state, torch.tensor([1, 3]))
    whole, last = layer(x, state)
    torch.testing.assert_close(y[:, 1], whole[:, 1])
    torch.testing.assert_close(after.h[:, 1], last.h[:, 1])
    torch.testing.assert_close(after.h[0, 0], whole[0, 0])


def test_it_is_imported_only_when_it_is_needed():
    code = (
        "import sys, carousel, carousel.convert.transformers_folder as folder\n"
        "assert not {'torch', 'transformers'} & set(sys.modules), 'at once'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
