"""Draw the pictures of explain.md with the story models that ship.

python tools/draw_pictures.py
"""

from pathlib import Path

import carousel
from carousel.draw.svg.belt import draw_belt, full_belt
from carousel.draw.svg.canvas import Canvas
from carousel.draw.svg.cell import draw_cell
from carousel.draw.svg.comparison import draw_comparison
from carousel.draw.svg.decision import draw_decision, measure_decision
from carousel.draw.svg.gates import draw_gates
from carousel.explain.model_comparison import SideBySide
from carousel.lens.compare import compare_texts, patch_texts

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SAME = "krish likes pizza but he does not like burger so he orders"
SWITCH = "krish likes pizza but his friend likes burger so his friend orders"
FOODS = ("pizza", "burger")
MODELS = ("stories-rnn", "stories-gru", "stories-lstm")


def pictures() -> dict[str, Canvas]:
    """Each picture by the name of its file."""
    lstm = carousel.load("stories-lstm")
    same, switch = lstm.trace(SAME), lstm.trace(SWITCH)
    full = full_belt([same, switch])
    made = {
        "belt-same": draw_belt(same, focus=FOODS, heading=SAME, full=full),
        "belt-switch": draw_belt(switch, focus=FOODS, heading=SWITCH, full=full),
        "decision": draw_decision(measure_decision(switch, FOODS), heading=SWITCH),
        "gates": draw_gates(switch, units=3),
        "models": SideBySide.of({name: carousel.load(name) for name in MODELS}, SAME).draw(),
    }
    for name in MODELS:
        trace = carousel.load(name).trace(SWITCH)
        made[f"cell-{name.removeprefix('stories-')}"] = draw_cell(trace, 6)
    found = compare_texts(lstm, SAME, SWITCH)
    made["comparison"] = draw_comparison(found, patch_texts(lstm, found, FOODS), FOODS)
    return made


if __name__ == "__main__":
    for name, picture in pictures().items():
        picture.save(IMAGES / f"{name}.svg")
        print(IMAGES / f"{name}.svg")
