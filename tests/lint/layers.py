#!/usr/bin/python3
"""Who may include and link whom.

    app -> shell -> core/node -> core/{controller discovery encryption routing peers payment} -> crypto, model -> base
    sim -> core/node, never shell; inside sim: reference -> scenario -> check, actors, programs -> world -> load -> tcp -> net, engine

Components under core/ never include each other, folders have no include cycle, the headers of a cryptographic library
are included in src/crypto alone (but for TLS in src/shell/tls), and CMake links what the includes need, in the same
direction.
"""

import re

import tree

COMPONENTS = ("controller", "discovery", "encryption", "routing", "peers", "payment")
BELOW_COMPONENTS = ("base", "model", "crypto")
BELOW_SHELL = BELOW_COMPONENTS + tuple(f"core/{name}" for name in COMPONENTS) + ("core/node",)

# Folder -> what it may include beside itself.  An entry without a second component covers the folders below it.
MAY_INCLUDE = {
    "base": (),
    "model": ("base",),
    "crypto": ("base", "model"),
    **{f"core/{name}": BELOW_COMPONENTS for name in COMPONENTS},
    "core/node": BELOW_COMPONENTS + tuple(f"core/{name}" for name in COMPONENTS),
    "shell": BELOW_SHELL + ("shell",),
    "app": BELOW_SHELL + ("shell", "app"),
}

# Headers of libraries -> the only folders that may include them.
LIBRARIES = {
    r"openssl/": ("crypto", "shell/tls"),
    r"sodium(\.h|/)": ("crypto",),
    r"blake2\.h": ("crypto",),
    r"(intel-)?ipsec-mb|imb_": ("crypto",),
    r"secp256k1": ("crypto",),
    r"nlohmann/": ("shell", "app"),
    r"toml\+\+/": ("shell/config",),
    r"CLI/": ("app",),
    r"qrencode": ("shell/phone",),
    r"miniupnpc/": ("shell/nat",),
    r"maxminddb": ("shell/region",),
    r"sqlite3": ("shell/store",),
    r"curl/": ("shell",),
}


def within(folder, parent):
    return folder == parent or folder.startswith(parent + "/")


def rule_of(folder):
    matches = [name for name in MAY_INCLUDE if within(folder, name)]
    return max(matches, key=len) if matches else None


def folder_of(path):
    """'core/node' of 'core/node/node.h'."""
    return path.rpartition("/")[0]


def cycles(graph):
    """The folders of each cycle, once."""
    def reach(start):
        seen, todo = set(), list(graph.get(start, ()))
        while todo:
            at = todo.pop()
            if at not in seen:
                seen.add(at)
                todo += graph.get(at, ())
        return seen
    reachable = {folder: reach(folder) for folder in graph}
    looping = {folder for folder in graph if folder in reachable[folder]}
    groups = {frozenset(other for other in looping if other in reachable[folder] and folder in reachable[other])
              for folder in looping}
    return sorted(" ".join(sorted(group)) for group in groups)


def check_includes(files):
    graph = {}
    for path in files.below("src", ".h", ".cpp"):
        inside = path.removeprefix("src/")
        folder = folder_of(inside)
        rule = rule_of(folder)
        if rule is None:
            yield f"{path}:1: src/{folder} has no place in the layers: say in tests/lint/layers.py where it belongs"
            continue
        for line, quote, name in tree.includes_of(files.text(path)):
            if quote == "<":
                yield from check_library(path, line, folder, name)
                continue
            if not (files.root / "src" / name).is_file():
                yield f"{path}:{line}: \"{name}\" is no file below src/: write the path from src/ on"
                continue
            target = folder_of(name)
            if target != folder and not any(within(target, allowed) for allowed in MAY_INCLUDE[rule]):
                yield f"{path}:{line}: {folder} may not include {target}"
            elif target != folder and not inside.endswith("_test.cpp"):
                graph.setdefault(folder, set()).add(target)
    for group in cycles(graph):
        yield f"src:1: folders include each other in a circle: {group}"
    yield from check_links(files, graph)


def check_library(path, line, folder, name):
    for pattern, folders in LIBRARIES.items():
        if re.match(pattern, name) and not any(within(folder, allowed) for allowed in folders):
            yield f"{path}:{line}: <{name}> belongs in {' or '.join('src/' + allowed for allowed in folders)} alone"


LIBRARY = re.compile(r"macrovpn_library\(\s*(\w+)([^)]*)\)")


def check_links(files, graph):
    """Every edge of the include graph is reachable over macrovpn_library's dependencies, and none of those goes up."""
    folder_of_library, links = {}, {}
    for path in files.below("src", "CMakeLists.txt"):
        for match in LIBRARY.finditer(files.text(path)):
            folder = folder_of(path).removeprefix("src/")
            folder_of_library[match.group(1)] = folder
            links[folder] = (path, re.findall(r"\bmv_\w+", match.group(2)))
    reachable = {}

    def reach(folder):
        if folder not in reachable:
            reachable[folder] = {folder}
            for library in links.get(folder, ("", ()))[1]:
                if library in folder_of_library:
                    reachable[folder] |= reach(folder_of_library[library])
        return reachable[folder]

    for folder, (path, libraries) in sorted(links.items()):
        rule = rule_of(folder)
        for library in libraries:
            target = folder_of_library.get(library)
            if target is None:
                yield f"{path}:1: links {library}, which no folder makes"
            elif rule and target != folder and not any(within(target, allowed) for allowed in MAY_INCLUDE[rule]):
                yield f"{path}:1: {folder} may not link {target}"
        for target in sorted(graph.get(folder, ())):
            if target in links and target not in reach(folder):
                yield f"{path}:1: {folder} includes {target} and does not link it"


# Folders of the simulator -> how far up; each may include those further down.  What is not a layer has no entry.
SIMULATOR = {"sim/engine": 0, "sim/net": 0, "sim/plot": 0, "sim/directory": 1, "sim/tcp": 1, "sim/load": 2, "sim/world": 3, "sim/programs": 4,
             "sim/check": 4, "sim/actors": 4, "sim/scenario": 5, "sim/studies": 5,
             "sim/reference": 6, "sim/flood": 6}
WITHOUT_NODES = ("sim/engine", "sim/net", "sim/plot", "sim/tcp", "sim/load", "sim/directory")  # know nothing of the node


def check_simulator(files):
    for path in files.below("sim", ".h", ".cpp"):
        folder = folder_of(path)
        for line, quote, name in tree.includes_of(files.text(path)):
            target = folder_of(name)
            if quote != '"':
                yield from check_library(path, line, folder, name)
            elif within(target, "shell") or within(target, "app"):
                yield f"{path}:{line}: the simulator may not include {target}"
            elif folder in WITHOUT_NODES and within(target, "core/node"):
                yield f"{path}:{line}: {folder} may not include {target}"
            elif target != folder and SIMULATOR.get(target, -1) >= SIMULATOR.get(folder, 99):
                yield f"{path}:{line}: {folder} may not include {target}"
            elif not any((files.root / top / name).is_file() for top in (".", "src")):
                yield f"{path}:{line}: \"{name}\" is no file: write the path from the top or from src/ on"


def check(files):
    yield from check_includes(files)
    yield from check_simulator(files)


if __name__ == "__main__":
    tree.main(check, "includes and links point down the layers")
