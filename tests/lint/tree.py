"""What the lints share: the files of a checkout, C++ without its comments and strings, and the report.

A lint is a program `NAME.py [ROOT]` and a function check(tree) that yields complaints `path:line: what is wrong`.
"""

import pathlib
import re
import subprocess
import sys

HOME = pathlib.Path(__file__).resolve().parents[2]
SKIPPED_FOLDERS = {".git", "build", "__pycache__", "node_modules"}


class Tree:
    def __init__(self, root):
        self.root = pathlib.Path(root).resolve()

    def tracked(self):
        """Paths relative to the root of what git tracks, or of everything when it is no git checkout."""
        listing = subprocess.run(["git", "-c", "safe.directory=*", "-C", self.root, "ls-files", "-z"],
                                 capture_output=True, text=True) if (self.root / ".git").exists() else None
        if listing is not None and listing.returncode == 0:
            paths = [path for path in listing.stdout.split("\0") if path]
        else:
            paths = self.below("")
        return [path for path in sorted(paths) if (self.root / path).is_file()]

    def below(self, folder, *endings):
        """Paths of all files in a folder with one of the endings, tracked or not: what the compiler would see."""
        found = []
        for path in (self.root / folder).rglob("*"):
            inside = path.relative_to(self.root)
            if path.is_file() and not SKIPPED_FOLDERS & set(inside.parts) and inside.name.endswith(endings or ("",)):
                found.append(str(inside))
        return sorted(found)

    def text(self, path):
        """Empty for what is not text."""
        try:
            return (self.root / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return ""


TOKENS = re.compile(r'R"(\w*)\((?:.|\n)*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])*\''
                    r"|//[^\n]*|/\*(?:.|\n)*?\*/")


def code_of(text):
    """C++ with comments and the contents of strings blanked; lines keep their numbers.  Includes keep their names."""
    def blank(match):
        token = match.group(0)
        line_start = text.rfind("\n", 0, match.start()) + 1
        if token.startswith('"') and text[line_start:match.start()].strip() == "#include":
            return token
        return re.sub(r"[^\n]", " ", token)
    return TOKENS.sub(blank, text)


INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def includes_of(text):
    """(line, quote, name) of every include."""
    code = code_of(text)
    return [(code.count("\n", 0, m.start(2)) + 1, m.group(1), m.group(2)) for m in INCLUDE.finditer(code)]


def main(check, promise):
    root = sys.argv[1] if len(sys.argv) > 1 else HOME
    complaints = list(check(Tree(root)))
    for complaint in complaints:
        print(complaint)
    print(f"FAIL {promise}: {len(complaints)} complaints, the first: {complaints[0]}" if complaints else f"PASS {promise}")
    sys.exit(1 if complaints else 0)
