#!/usr/bin/python3
"""Each lint complains about a violation planted in a small tree, about nothing else, and not about the tree without it."""

import pathlib
import subprocess
import sys
import tempfile

import layers
import purity
import tree
import words

# A tree that all lints like, made of what they might misread.
CLEAN = {
    "src/base/time.h": "// Time is an argument; std::mutex and getenv( are words here.\n#pragma once\n#include <chrono>\n",
    "src/base/CMakeLists.txt": "macrovpn_library(mv_base)\n",
    "src/model/ids.h": '// Ids.\n#pragma once\n#include "base/time.h"\n',
    "src/model/CMakeLists.txt": "macrovpn_library(mv_model mv_base)\n",
    "src/crypto/hash.h": '// Hashes.\n#pragma once\n#include "base/time.h"\n',
    "src/crypto/hash.cpp": '#include "crypto/hash.h"\n\n#include <blake2.h>\n\nint lifetime(int);\nint x = lifetime(0);\n',
    "src/crypto/CMakeLists.txt": "macrovpn_library(mv_crypto mv_model mv_base)\n",
    "src/core/routing/leg.h": '// Legs.\n#pragma once\n#include "model/ids.h"\n',
    "src/core/routing/leg.cpp": '#include "core/routing/leg.h"\nconst char* s = "std::cout << rand()"; const char c = \'"\';\n',
    "src/core/routing/leg_test.cpp": '#include <cstdlib>\n#include <fstream>\nauto v = std::getenv("VECTORS");\n',
    "src/core/routing/CMakeLists.txt": "macrovpn_library(mv_routing mv_model)\n",
    "src/core/encryption/noise.h": '// Noise.\n#pragma once\n#include "crypto/hash.h"\n',
    "src/core/encryption/CMakeLists.txt": "macrovpn_library(mv_encryption mv_crypto)\n",
    "src/core/node/node.h": '// Node.\n#pragma once\n#include "core/routing/leg.h"\n#include "core/encryption/noise.h"\n',
    "src/core/node/CMakeLists.txt": "macrovpn_library(mv_node mv_routing mv_encryption)\n",
    "src/shell/udp.h": '// Sockets.\n#pragma once\n#include <sys/socket.h>\n#include "core/node/node.h"\n',
    "src/shell/CMakeLists.txt": "macrovpn_library(mv_shell mv_node)\n",
    "sim/world/world.h": '// Worlds.\n#pragma once\n#include "core/node/node.h"\n#include "sim/net/link.h"\n',
    "sim/net/link.h": '// Links.\n#pragma once\n#include "base/time.h"\nauto s = std::chrono::floor<seconds>(t);  // no double\n',
    "src/app/main.cpp": '#include "shell/udp.h"\nconst char* help = "curl https://example.org\\n";\n',
    "src/app/CMakeLists.txt": "add_executable(macrovpn main.cpp)\n",
    "README.md": "See https://www.rfc-editor.org/rfc/rfc7748, http://192.0.2.80/ and https://example.org/; hacks are not shouted.\n",
}

# (lint, path, contents, what the complaint must contain)
PLANTED = [
    (layers, "src/base/bad.h", '// .\n#include "model/ids.h"\n', "base may not include model"),
    (layers, "src/model/bad.h", '// .\n#include "crypto/hash.h"\n', "model may not include crypto"),
    (layers, "src/core/routing/bad.cpp", '#include "core/encryption/noise.h"\n', "core/routing may not include core/encryption"),
    (layers, "src/core/routing/bad_test.cpp", '#include "core/node/node.h"\n', "core/routing may not include core/node"),
    (layers, "src/core/node/bad.cpp", '#include "shell/udp.h"\n', "core/node may not include shell"),
    (layers, "src/core/routing/bad.cpp", "#include <openssl/evp.h>\n", "<openssl/evp.h> belongs in"),
    (layers, "src/shell/bad.cpp", "#include <sodium.h>\n", "<sodium.h> belongs in"),
    (layers, "src/core/peers/bad.cpp", "#include <nlohmann/json.hpp>\n", "<nlohmann/json.hpp> belongs in"),
    (layers, "src/other/bad.cpp", "\n", "src/other has no place"),
    (layers, "src/core/gossip/bad.cpp", "\n", "src/core/gossip has no place"),
    (layers, "src/model/bad.cpp", '#include "ids.h"\n', "no file below src/"),
    (layers, "src/model/CMakeLists.txt", "macrovpn_library(mv_model mv_base mv_crypto)\n", "model may not link crypto"),
    (layers, "src/core/encryption/CMakeLists.txt", "macrovpn_library(mv_encryption mv_model)\n", "does not link it"),
    (layers, "src/model/CMakeLists.txt", "macrovpn_library(mv_model mv_bass)\n", "no folder makes"),
    (layers, "sim/bad.cpp", '#include "shell/udp.h"\n', "the simulator may not include shell"),
    (layers, "sim/net/bad.cpp", '#include "core/node/node.h"\n', "sim/net may not include core/node"),
    (layers, "sim/net/bad.cpp", '#include "sim/world/world.h"\n', "sim/net may not include sim/world"),
    (layers, "sim/world/bad.cpp", '#include "world.h"\n', "is no file"),
    (layers, "sim/world/bad.cpp", "#include <openssl/evp.h>\n", "<openssl/evp.h> belongs in"),
    (purity, "sim/world/bad.cpp", "double rate = 0.5;\n", "no floating point"),
    (purity, "src/core/node/bad.cpp", "auto t = std::chrono::steady_clock::now();\n", "no clock"),
    (purity, "src/core/node/bad.cpp", "auto t = time(nullptr);\n", "no clock"),
    (purity, "src/core/node/bad_test.cpp", "std::this_thread::sleep_for(1s);\n", "no clock"),
    (purity, "src/base/bad.h", "// .\n#include <sys/socket.h>\n", "no socket"),
    (purity, "src/crypto/bad.cpp", "#include <fstream>\n", "no file"),
    (purity, "src/crypto/bad.cpp", "int f = ::open(path, 0);\n", "no file"),
    (purity, "src/model/bad.cpp", 'void f() { std::cerr << "x"; }\n', "no file"),
    (purity, "src/core/routing/bad.cpp", "#include <thread>\n", "no thread"),
    (purity, "src/core/routing/bad.cpp", "thread_local int x;\n", "no thread"),
    (purity, "src/core/routing/bad.cpp", "std::mutex m;\n", "no lock"),
    (purity, "src/core/routing/bad.cpp", 'auto* h = std::getenv("HOME");\n', "no environment"),
    (purity, "src/crypto/bad.cpp", "randombytes_buf(p, n);\n", "no randomness of the system"),
    (purity, "src/core/peers/bad_test.cpp", "std::random_device d;\n", "no randomness of the system"),
    (purity, "src/core/peers/bad.cpp", "int x = rand();\n", "no randomness of the system"),
    (purity, "sim/net/bad.cpp", "double share = 0;\n", "no floating point"),
    (purity, "sim/tcp/bad.cpp", "#include <cmath>\n", "no floating point"),
    (purity, "sim/load/bad.cpp", "auto t = std::chrono::steady_clock::now();\n", "no clock"),
    (words, "a.cpp", "// TO" "DO later\n", "TO" "DO"),
    (words, "a.sh", "# FIX" "ME\n", "FIX" "ME"),
    (words, "a.md", "this is a st" "ub\n", "st" "ub"),
    (words, "a.py", "raise Error('not impl" "emented')\n", "not impl" "emented"),
    (words, "a.sh", "cat /wo" "rk/x\n", "a path of one machine"),
    (words, "a.sh", "cp x /fa" "rm/bin\n", "a path of one machine"),
    (words, "a.txt", "deb http:/" "/deb.debi" "an.org/debian bookworm main\n", "where packages come from"),
    (words, "a.txt", "index-url = http:/" "/pypi.inner." "house.net/simple\n", "if this host belongs here"),
    (words, "a.cpp", "\n" * (words.LONGEST + 1), "there is a second noun"),
    (words, "tool", "#!/bin/sh\n" + "\n" * words.LONGEST, "there is a second noun"),
    (words, "src/base/a.h", "#pragma once\n", "a header starts with a comment"),
]


def write(root, files):
    for path, contents in files.items():
        target = pathlib.Path(root, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(contents, encoding="utf-8")


def complaints(lint, files, **options):
    with tempfile.TemporaryDirectory() as root:
        write(root, files)
        return list(lint.check(tree.Tree(root), **options))


def results():
    for lint in (layers, purity, words):
        found = complaints(lint, CLEAN)
        yield f"{lint.__name__} likes a clean tree", not found, found
    for lint, path, contents, wanted in PLANTED:
        found = complaints(lint, {**CLEAN, path: contents})
        name = f"{lint.__name__} sees {contents.strip().splitlines()[-1] if contents.strip() else 'emptiness'} in {path}"
        yield name, any(wanted in line for line in found) and all(line.startswith(path + ":") for line in found), found
    loop = {"src/shell/a/x.h": '// .\n#include "shell/b/y.h"\n', "src/shell/b/y.h": '// .\n#include "shell/a/x.h"\n'}
    found = complaints(layers, {**CLEAN, **loop})
    yield "layers sees a circle of folders", len(found) == 1 and "circle: shell/a shell/b" in found[0], found
    spare = {("src/base/time.h", "file"): "no longer"}
    found = complaints(purity, CLEAN, exceptions=spare)
    yield "purity sees an exception that nothing needs", len(found) == 1 and "not needed" in found[0], found
    found = complaints(words, CLEAN, long={"src/app/main.cpp": "was long"})
    yield "words sees a short file in the list of long ones", len(found) == 1 and "short enough" in found[0], found
    with tempfile.TemporaryDirectory() as root:
        write(root, {**CLEAN, "a.sh": "# FIX" "ME\n"})
        here = pathlib.Path(__file__).resolve().parent
        codes = [subprocess.run([sys.executable, here / name, root], capture_output=True).returncode
                 for name in ("words.py", "purity.py")]
    yield "the exit code of a program tells complaints from none", codes == [1, 0], codes


def main():
    failed = passed = 0
    for name, good, found in results():
        print(f"{'PASS' if good else 'FAIL'} {name}" + ("" if good else f": {found}"))
        failed, passed = failed + (not good), passed + good
    print(f"{passed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
