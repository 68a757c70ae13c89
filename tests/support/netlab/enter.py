"""Going inside: the calling script becomes a process of private namespaces.

Everything that a laboratory draws lives in namespaces that belong to the script: nothing appears on the host, no packet can
leave the machine, and the kernel takes all of it away when the script ends, however it ends.

    the script as started ── waits, passes SIGTERM and SIGHUP on
      └─ process 1 of a new pid namespace ── collects orphans; killed by the kernel when its parent dies
           └─ the script, which goes on ── when it ends, process 1 ends, and the kernel kills every other process inside

Root needs no user namespace. An ordinary user gets one that holds a single user id, mapped to root; there, programs that change
their user id fail (tcpdump is one), which is why netlab has its own capture program.
"""

import errno
import os
import select
import signal
import sys

from . import kernel
from .errors import NetlabError, Skip

LAB_DIRECTORY = "/run/netlab"
_inside = False


def enter():
    """Call it once, at the top of a script, before any thread is started. Returns inside."""
    global _inside
    if _inside:
        return
    _unshare()
    _fork_into_pid_namespace()
    _mount_private_directories()
    _inside = True


def is_inside():
    return _inside


def _unshare():
    flags = kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        try:
            return kernel.unshare(flags)
        except PermissionError:
            pass  # root of a container without CAP_SYS_ADMIN: do as an ordinary user would
    try:
        kernel.unshare(flags | kernel.CLONE_NEWUSER)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise NetlabError("netlab.enter() was called after a thread had been started; call it first") from None
        raise Skip(f"this machine does not let user {user} make namespaces ({error}); run as root, or allow it: "
                   "sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces above 0") from None
    for file, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        with open(f"/proc/self/{file}", "w") as out:
            out.write(text)


def _fork_into_pid_namespace():
    sys.stdout.flush()
    sys.stderr.flush()
    alive_read, alive_write = os.pipe()  # ends when the outer process is gone
    first = os.fork()
    if first:
        os.close(alive_read)
        _wait_outside(first)
    os.close(alive_write)
    kernel.die_with_parent(signal.SIGKILL)
    if select.select([alive_read], [], [], 0)[0]:
        os._exit(1)  # the parent died before the line above
    os.close(alive_read)
    script = os.fork()
    if script:
        _wait_as_first_process(script)


def _exit_code(status):
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _pass_on_signals_to(process):
    def pass_on(number, _frame):
        try:
            os.kill(process, number)
        except ProcessLookupError:
            pass

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal gives it to the whole group, the script included
    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGHUP, pass_on)


def _wait_outside(first):
    _pass_on_signals_to(first)
    _, status = os.waitpid(first, 0)
    os._exit(_exit_code(status))


def _wait_as_first_process(script):
    _pass_on_signals_to(script)
    while True:
        process, status = os.waitpid(-1, 0)
        if process == script:
            os._exit(_exit_code(status))


def _mount_private_directories():
    kernel.mount(None, "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    plain = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    try:
        kernel.mount("proc", "/proc", "proc", plain)
    except OSError as error:
        raise Skip(f"cannot mount a private /proc ({error}); containers that mask parts of /proc forbid it") from None
    # Also hides the sockets of the host's resolvers and message buses, which would answer from outside.
    kernel.mount("tmpfs", "/run", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755")
    for directory in ("/run/netns", "/run/lock", LAB_DIRECTORY):
        os.mkdir(directory)
