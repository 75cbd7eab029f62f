"""Results in a notebook: drawn by whoever registered last, and else as their repr."""

from carousel.lens.display import NotebookDisplay, register_renderer


class Measured(NotebookDisplay):
    pass


def test_without_a_renderer_a_notebook_falls_back_to_the_repr():
    assert Measured()._repr_html_() is None


def test_the_nearest_class_s_renderer_draws():
    class Base(NotebookDisplay):
        pass

    class Derived(Base):
        pass

    register_renderer(Base, lambda shown: f"base {type(shown).__name__}")
    assert Derived()._repr_html_() == "base Derived"
    register_renderer(Derived, lambda shown: "derived")
    assert Derived()._repr_html_() == "derived"
    assert Base()._repr_html_() == "base Base"
