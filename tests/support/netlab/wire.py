"""What lies between a host and the internet: nothing (a plain veth pair), or a wire with delay, jitter, loss and rate."""

import dataclasses
import json

from .errors import NetlabError
from .tools import built


@dataclasses.dataclass(frozen=True)
class WireSettings:
    """The same in both directions. A path has the sum of its two access wires."""

    delay_ms: float = 0
    jitter_ms: float = 0
    loss: float = 0         # 0.01 is one frame in a hundred
    rate_mbit: float = 0    # 0: as fast as the machine can
    queue_ms: float = 100   # longest wait at a limited rate, then drop-tail

    def __post_init__(self):
        if min(dataclasses.astuple(self)) < 0 or self.loss > 1:
            raise NetlabError(f"a wire cannot have {self}: nothing below zero, loss between 0 and 1")

    def words(self):
        return (f"delay_us={round(self.delay_ms * 1000)} jitter_us={round(self.jitter_ms * 1000)} "
                f"loss_ppm={round(self.loss * 1_000_000)} rate_kbit={round(self.rate_mbit * 1000)} "
                f"queue_us={round(self.queue_ms * 1000)}")


class Wire:
    """A netlab-shim between two interfaces; `host.wire`."""

    def __init__(self, wires_host, outer, inner, settings, seed):
        self.settings = settings
        command = [built("netlab-shim"), str(seed), outer, inner, "both " + settings.words()]
        self._process = wires_host.start(command, stdin=True)

    def wait_until_ready(self):
        self._process.wait_for_output("ready")

    def set(self, direction="both", **changes):
        """Changes settings while traffic flows; direction: both, up (from the host) or down."""
        settings = dataclasses.replace(self.settings, **changes)
        answer = self._process.ask(f"{direction} {settings.words()}")
        if answer != "ok":
            raise NetlabError(f"the wire refused: {answer}")
        self.settings = settings

    def cut(self):
        """As if the cable were pulled: no error for anybody, nothing arrives."""
        self._process.ask("both loss_ppm=1000000")

    def mend(self):
        self.set()

    def stats(self):
        """{"up": {"frames", "bytes", "lost", "queue_full", "oversized", "kernel_drops", "not_sent"}, "down": {...}}"""
        return json.loads(self._process.ask("stats"))
