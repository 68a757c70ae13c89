"""What a person sees while something runs: a timeline, progress, tables. Plain lines where there is no terminal."""

import sys
import time

_BAR_WIDTH = 30
_SECONDS_BETWEEN_LINES = 2


def human_bytes(count):
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024


def human_rate(bytes_per_second):
    bits = bytes_per_second * 8
    for unit in ("bit/s", "kbit/s", "Mbit/s"):
        if bits < 1000:
            return f"{bits:.1f} {unit}"
        bits /= 1000
    return f"{bits:.2f} Gbit/s"


class Timeline:
    """Lines with the seconds since the start in front."""

    def __init__(self, out=None):
        self._out, self._start = out or sys.stdout, time.monotonic()

    def say(self, text):
        print(f"{time.monotonic() - self._start:7.2f} s  {text}", file=self._out, flush=True)


class Progress:
    """A bar with amount, rate and time left on a terminal; elsewhere a line now and then. `unit`: "bytes" or a plural."""

    def __init__(self, what, total, unit="bytes", out=None):
        self._what, self._total, self._unit = what, total, unit
        self._out = out or sys.stdout
        self._live = self._out.isatty()
        self._start = self._printed = time.monotonic()
        self._done = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._print(last=True)

    def update(self, done):
        self._done = done
        if time.monotonic() - self._printed >= (0.1 if self._live else _SECONDS_BETWEEN_LINES):
            self._print()

    def _print(self, last=False):
        self._printed = time.monotonic()
        elapsed = max(self._printed - self._start, 1e-6)
        rate = self._done / elapsed
        share = min(self._done / self._total, 1) if self._total else 1
        text = f"{self._what}: {self._amount()}, {self._rate(rate)}"
        text += f", {elapsed:.1f} s" if last else f", {(self._total - self._done) / rate:.0f} s left" if rate else ""
        if self._live:
            filled = round(share * _BAR_WIDTH)
            text = f"\r\033[K[{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {text}"
        print(text, end="" if self._live and not last else "\n", file=self._out, flush=True)

    def _amount(self):
        if self._unit == "bytes":
            return f"{human_bytes(self._done)} of {human_bytes(self._total)}"
        return f"{self._done} of {self._total} {self._unit}"

    def _rate(self, rate):
        return human_rate(rate) if self._unit == "bytes" else f"{rate:.1f} {self._unit}/s"


def table(headings, rows, out=None):
    """Columns as wide as they must be; numbers to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(headings), *cells]) for i in range(len(headings))]
    right = [all(_is_number(row[i]) for row in cells) for i in range(len(headings))]

    def line(row):
        return "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right)).rstrip()

    print(line(headings), "  ".join("-" * width for width in widths), *map(line, cells), sep="\n", file=out or sys.stdout,
          flush=True)


def _is_number(text):
    try:
        float(text.split()[0]) if text else 0
        return True
    except ValueError:
        return False
