#!/usr/bin/python3
"""What no tracked file says: unfinished work, paths and hosts of somebody's machine; and the shape of files.

Patterns are put together from halves, so that this file does not complain about itself.
"""

import ipaddress
import re

import tree

SHOUTED = re.compile(r"\b(" + "|".join(("TO" "DO", "FIX" "ME", "XX" "X", "HA" "CK")) + r")\b")
UNFINISHED = re.compile(r"\bst" r"ub(s|bed)?\b(?![-_ ]?resol)|\b(not (yet )?impl" r"emented|unimpl" r"emented)\b", re.I)
MACHINE_PATH = re.compile(r"(?<![\w.$}~/-])/(wo" r"rk|fa" r"rm|Users)/[\w.]")
PACKAGE_HOST = re.compile(r"\b([\w-]+\.)*(debian\.(org|net)|ubuntu\.com|pypi\.org|pythonhosted\.org|npmjs\.(org|com)|crates\.io"
                          r"|golang\.org|pkg\.dev|rubygems\.org|docker\.(io|com)|jfrog\.io)\b", re.I)
URL_HOST = re.compile(r"\bhttps?://(\[[^\]]*\]|[^/\s:\"'`)>\]},;\\]*)")

# Hosts that a URL may name, and why.  Numeric addresses and names made for documentation need no entry.
HOSTS = {
    "cr.yp.to": "papers", "datatracker.ietf.org": "standards", "www.rfc-editor.org": "standards",
    "json-schema.org": "names a schema dialect", "www.iana.org": "registries", "www.wireguard.com": "the paper",
    "www.w3.org": "names the SVG namespace", "www.apache.org": "the licence", "spec.torproject.org": "prior art",
    "en.wikipedia.org": "background", "github.com": "prior art and issue trackers of libraries",
    "keepachangelog.com": "the form of the changelog",
}

# (path, text in the line) -> why it may stand there.
EXCEPTIONS = {}

CODE = (".cpp", ".h", ".py", ".sh", ".cmake", ".ts", ".js", ".sol")
LONGEST = 500
# path -> why it is longer.
LONG = {}

NOT_OURS = ("LICENSE",)


def known_host(host):
    host = host.lower().rstrip(".")
    if not host or re.search(r"[{$%<*&]", host) or host in HOSTS or host == "localhost" or "." not in host and ":" not in host:
        return True
    try:
        ipaddress.ip_address(host.strip("[]"))
        return True
    except ValueError:
        return re.search(r"(^|\.)(example(\.(com|net|org))?|test|invalid|local)$", host) is not None


def complaints_of(line):
    for match in [*SHOUTED.finditer(line), *UNFINISHED.finditer(line)]:
        yield f"{match.group(0)}: say it in an issue, or do it"
    if match := MACHINE_PATH.search(line):
        yield f"{match.group(0)}: a path of one machine"
    if match := PACKAGE_HOST.search(line):
        yield f"{match.group(0)}: where packages come from is the machine's business"
    for match in URL_HOST.finditer(line):
        if not known_host(match.group(1)):
            yield f"{match.group(1)}: if this host belongs here, tell tests/lint/words.py why"


def check(files, exceptions=None, long=None):
    exceptions = EXCEPTIONS if exceptions is None else exceptions
    long = LONG if long is None else long
    for path in files.tracked():
        if path in NOT_OURS:
            continue
        text = files.text(path)
        lines = text.splitlines()
        for number, line in enumerate(lines, 1):
            if any(path == where and what in line for where, what in exceptions):
                continue
            for complaint in complaints_of(line):
                yield f"{path}:{number}: {complaint}"
        is_code = path.endswith(CODE) or text.startswith("#!")
        if is_code and len(lines) > LONGEST and path not in long:
            yield f"{path}:{LONGEST}: {len(lines)} lines: there is a second noun in it"
        if path in long and len(lines) <= LONGEST:
            yield f"{path}:1: is short enough now: take it out of the list in tests/lint/words.py"
        if path.endswith(".h") and not text.lstrip().startswith(("//", "/*")):
            yield f"{path}:1: a header starts with a comment: what it is for, its rules, who owns what"


if __name__ == "__main__":
    tree.main(check, "files say nothing unfinished and name no machine; none is too long")
