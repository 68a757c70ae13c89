"""Where the built programs are."""

import os
import pathlib

_REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
_PRESETS = ("release", "dev")


def program(name="macrovpn", folder="src/app"):
    """The path of a built program: in $MACROVPN_BUILD, else in the newest build of a preset."""
    chosen = os.environ.get("MACROVPN_BUILD")
    builds = [pathlib.Path(chosen)] if chosen else [_REPOSITORY / "build" / preset for preset in _PRESETS]
    found = [build / folder / name for build in builds if (build / folder / name).exists()]
    if not found:
        raise SystemExit(f"{name} is not built; run ./test or: cmake --preset release && cmake --build --preset release")
    return str(max(found, key=lambda path: path.stat().st_mtime).resolve())
