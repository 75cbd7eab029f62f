"""The prompt's suggestions are those of the text as it stands, whatever was typed before."""

from prompt_toolkit.application import create_app_session
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from carousel.cli.prompt import Suggester, SuggestionCompleter, run_prompt


def test_suggestions_follow_each_keystroke(make_model):
    model = make_model()
    suggester = Suggester(model, 3)
    for text in ("", "t", "the", "the ", "the p", "the pi", "the pizza ", "the ", "dog ran "):
        before, prefix = model.tokenizer.split_prefix(text)
        found, typed = suggester.suggest(text)
        assert typed == prefix
        assert found == model.next_words(before, k=3, prefix=prefix or None)


def test_more_than_the_model_knows_is_all_it_knows(make_model):
    suggester = Suggester(make_model(text="a b\n"), 50)
    assert len(suggester.suggest("a ")[0]) == 2


def test_a_completion_replaces_what_was_typed(make_model):
    found = list(
        SuggestionCompleter(Suggester(make_model(), 3)).get_completions(Document("the piz"), None)
    )
    assert [(c.text, c.start_position) for c in found] == [("pizza ", -3)]


def test_a_session_at_the_prompt(make_model, capsys):
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("the piz\t dog\n\x04")
        run_prompt(make_model(), 3)
    assert "Tab takes a suggestion" in capsys.readouterr().out
