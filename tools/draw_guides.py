"""Draw the pictures of docs/inside/ with the story models that ship.

python tools/draw_guides.py
"""

from pathlib import Path

import numpy as np

import carousel
from carousel.draw.palette import BLUE, GREEN, VERMILION
from carousel.draw.plots.figure import new_figure, save_figure
from carousel.draw.svg.belt import draw_belt, full_belt
from carousel.draw.svg.canvas import stack
from carousel.lens.saliency import measure_saliency
from carousel.lens.trace import trace_texts
from carousel.lens.units import find_units, gather
from carousel.study.stories import tell_stories

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SWITCH = "krish likes pizza but his friend likes burger so his friend orders"
FOODS = ("burger", "pizza")


def draw_effect(lm: carousel.LanguageModel) -> None:
    """The belt as it is, and with the forget gates held open at three words."""
    effect = lm.effect(SWITCH, "forget=1@5-7", compare=FOODS)
    full = full_belt([effect.before, effect.after])
    belts = [
        draw_belt(trace, focus=FOODS, heading=heading, full=full)
        for trace, heading in (
            (effect.before, "as it is"),
            (effect.after, "forget=1@5-7: nothing is let go at his, friend, likes"),
        )
    ]
    stack(belts, title="Belts before and after a clamp").save(IMAGES / "inside-effect.svg")


def draw_sweep(lm: carousel.LanguageModel) -> None:
    """How the decision depends on how far the forget gates are opened."""
    strengths = np.linspace(0, 1, 21)
    clamp = carousel.Clamp.toward("forget", 1.0, 1.0, at=range(5, 9))
    sweep = lm.sweep(SWITCH, clamp, strengths, compare=FOODS)
    figure, (ax,) = new_figure(1, 1, (6.4, 3.4))
    ax.axhline(0, color="#777777", linewidth=0.8)
    ax.plot(strengths, sweep.difference, color=GREEN, marker="o", markersize=3.5)
    ax.set_xlabel("how far the forget gates are moved toward 1, at his friend likes burger")
    ax.set_ylabel("logit of burger - logit of pizza")
    ax.annotate("burger", (0.01, 1), va="bottom")
    ax.annotate("pizza", (0.01, -1), va="top")
    save_figure(figure, IMAGES / "inside-sweep.png")


def draw_units(lm: carousel.LanguageModel) -> None:
    """The units that close most at the word where the context switches."""
    stories = list(tell_stories(300, kinds=["same", "switch"], gaps=[0], held_out=True))
    traces = trace_texts(
        lm.model, lm.tokenizer, [s.question for s in stories], only=["forget"], logits=False
    )
    labels = [np.full(len(trace), -1) for trace in traces]
    for story, label in zip(stories, labels, strict=True):
        label[5 if story.kind == "same" else 6] = story.kind == "switch"
    values, flags, groups = gather(traces, "forget", labels)
    found = find_units(values, flags, groups, count=5, falling=True)
    figure, (ax,) = new_figure(1, 1, (6.4, 3.4))
    bins = np.linspace(0, 1, 31)
    chosen, flags = values[found.judged][:, found.units].mean(axis=1), flags[found.judged]
    for shown, name, colour in (
        (chosen[~flags], "at he (the subject stays)", BLUE),
        (chosen[flags], "at friend (the context switches)", VERMILION),
    ):
        ax.hist(shown, bins=bins, color=colour, alpha=0.75, label=name)
    ax.set_xlabel(f"mean forget gate of units {', '.join(map(str, found.units))}")
    ax.set_ylabel("stories")
    ax.legend(frameon=False)
    save_figure(figure, IMAGES / "inside-units.png")
    print(found.table())


def draw_saliency() -> None:
    """How much the answer depends on each word, by the gradient and by replacing the word."""
    figure, axes = new_figure(2, 1, (7.2, 4.8))
    for name, colour, at in (("rnn", VERMILION, -0.2), ("lstm", GREEN, 0.2)):
        lm = carousel.load(f"stories-{name}")
        found = measure_saliency(lm.model, lm.tokenizer, SWITCH, FOODS, replacements=5)
        print(name, found.words, found.reach.round(1), found.change.round(2))
        for ax, values in zip(axes, (found.reach, found.change), strict=True):
            ax.bar(np.arange(len(found.words)) + at, values, 0.4, color=colour, label=name.upper())
    for ax, label in zip(axes, ("length of the gradient", "KL in nats if replaced"), strict=True):
        words = ["start", *found.words[1:]]
        ax.set_xticks(range(len(words)), words, rotation=35, ha="right")
        ax.set_ylabel(label)
    axes[0].legend(frameon=False)
    save_figure(figure, IMAGES / "inside-saliency.png")


if __name__ == "__main__":
    lm = carousel.load("stories-lstm")
    draw_effect(lm)
    draw_sweep(lm)
    draw_units(lm)
    draw_saliency()
