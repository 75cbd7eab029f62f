"""How results show themselves in a notebook, without knowing who draws them.

The lens measures and does not draw. Whoever draws registers a renderer for a class here; a notebook
finds it through ``_repr_html_``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_RENDERERS: dict[type, Callable[[Any], str]] = {}


class NotebookDisplay:
    """A base class whose objects a notebook shows as HTML, once a renderer is registered.

    >>> class Point(NotebookDisplay):
    ...     pass
    >>> Point()._repr_html_() is None
    True
    >>> register_renderer(Point, lambda point: "<b>a point</b>")
    >>> Point()._repr_html_()
    '<b>a point</b>'
    """

    def _repr_html_(self) -> str | None:
        """The object as HTML; None where no renderer is known, so that its ``repr`` is shown."""
        for owner in type(self).__mro__:
            if owner in _RENDERERS:
                return _RENDERERS[owner](self)
        return None


def register_renderer(shown: type, renderer: Callable[[Any], str]) -> None:
    """Let ``renderer(object)`` make the HTML of all objects of the class ``shown``."""
    _RENDERERS[shown] = renderer
