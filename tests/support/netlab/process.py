"""A program that runs in a host of the laboratory."""

import os
import pathlib
import signal
import subprocess
import time

from .errors import NetlabError


class Process:
    """What `host.start()` returns. Its output, both streams, goes to the file `log`."""

    def __init__(self, name, popen, log):
        self.name, self.log = name, pathlib.Path(log)
        self._popen = popen
        self.stdin = popen.stdin

    @property
    def pid(self):
        return self._popen.pid

    @property
    def running(self):
        return self._popen.poll() is None

    @property
    def exit_code(self):
        """None while it runs; negative: the signal that ended it."""
        return self._popen.poll()

    def output(self):
        return self.log.read_text(errors="replace")

    def wait(self, timeout=30):
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise NetlabError(f"{self.name} did not end within {timeout} s. It said:\n{self._tail()}") from None

    def wait_for_output(self, text, timeout=10):
        """Returns the output once it holds `text`."""
        deadline = time.monotonic() + timeout
        while True:
            ended = not self.running  # before the read: what it said last is then in the file
            output = self.output()
            if text in output:
                return output
            if ended:
                raise NetlabError(f"{self.name} ended with {self.exit_code} before it said '{text}'. It said:\n{self._tail()}")
            if time.monotonic() > deadline:
                raise NetlabError(f"{self.name} did not say '{text}' within {timeout} s. It said:\n{self._tail()}")
            time.sleep(0.005)

    def usage(self):
        """{"rss_kib", "peak_rss_kib", "cpu_s"} of the program itself, while it runs."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        ticks = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return {"rss_kib": int(fields["VmRSS"].split()[0]), "peak_rss_kib": int(fields["VmHWM"].split()[0]),
                "cpu_s": sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")}

    def signal(self, number):
        """To the program and everything that it started in its own session."""
        if self.running:
            try:
                os.killpg(self._popen.pid, number)
            except ProcessLookupError:
                pass

    def stop(self, timeout=5):
        """SIGTERM, and SIGKILL if that does not help. Returns the exit code."""
        self.signal(signal.SIGTERM)
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return self.kill9()

    def kill9(self):
        """What a crash, or a machine that loses power, looks like."""
        self.signal(signal.SIGKILL)
        return self._popen.wait(10)

    def ask(self, line, timeout=5):
        """For programs that answer each line of standard input by one line: gives the answer."""
        before = len(self.output())
        self.stdin.write(line.encode() + b"\n")
        self.stdin.flush()
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.running:
            answer = self.output()[before:]
            if answer.endswith("\n"):
                return answer.strip()
            time.sleep(0.001)
        raise NetlabError(f"{self.name} did not answer '{line}'. It said:\n{self._tail()}")

    def _tail(self):
        return "\n".join("    " + line for line in self.output().splitlines()[-20:]) or "    (nothing)"
