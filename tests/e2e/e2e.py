"""What the end-to-end tests share: the way to the laboratory, and a world that is up."""

import contextlib
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import netlab  # noqa: E402
from macronet import World  # noqa: E402


@contextlib.contextmanager
def running_world(*client_flags, **settings):
    with netlab.Lab() as lab, World(lab, **settings) as world:
        yield world.up(*client_flags)
