"""What a command needs that a plain install does not bring."""

from __future__ import annotations

from importlib.util import find_spec

from carousel.errors import SettingsError


def need_torch() -> None:
    """Training needs PyTorch and matplotlib.

    Raises:
        SettingsError: one of them is not installed.
    """
    for name in ("torch", "matplotlib", "tomli_w"):
        if find_spec(name) is None:
            raise SettingsError(
                f"training needs {name}, which is not installed: pip install 'carousel-lstm[train]'"
            )


def need_scipy() -> None:
    """Studies take their statistics from SciPy.

    Raises:
        SettingsError: it is not installed.
    """
    if find_spec("scipy") is None:
        raise SettingsError(
            "studies need scipy, which is not installed: pip install 'carousel-lstm[study]'"
        )


def need_server() -> None:
    """Serving needs FastAPI, uvicorn and what they stand on.

    Raises:
        SettingsError: one of them is not installed.
    """
    for name in ("fastapi", "uvicorn", "httptools", "itsdangerous", "prometheus_client"):
        if find_spec(name) is None:
            raise SettingsError(
                f"serving needs {name}, which is not installed: pip install 'carousel-lstm[serve]'"
            )
