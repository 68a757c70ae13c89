"""Where the programs are that netlab needs."""

import os
import pathlib
import shutil

from .errors import NetlabError

_REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
PYTHON_PATH = str(pathlib.Path(__file__).resolve().parents[1])
PYTHON = "/usr/bin/python3"


def built(name):
    """The release build of one of our own tools, or else the newest; NETLAB_TOOLS names a directory to look in instead."""
    chosen = os.environ.get("NETLAB_TOOLS")
    pattern = f"*/tests/support/tools/{name}"
    found = [pathlib.Path(chosen) / name] if chosen else list((_REPOSITORY / "build").glob(pattern))
    found = [path for path in found if os.access(path, os.X_OK)]
    if not found:
        raise NetlabError(f"{name} is not built. Build it with: cmake --preset release && cmake --build --preset release "
                          f"--target {name} (or set NETLAB_TOOLS to the directory that holds it)")
    # A build with sanitizers is too slow for a wire, so the newest of all is not always the best.
    return str(max(found, key=lambda path: ("release" in path.parts, path.stat().st_mtime)))


def installed(name, package):
    """The path of a Debian program. /usr/sbin is not in an ordinary user's PATH."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise NetlabError(f"{name} is missing; install it with: apt-get install {package}")
    return path
