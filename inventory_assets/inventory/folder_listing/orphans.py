"""End a child process when its parent ends, also if the parent is killed.

A parent that is killed cannot stop its children. On Linux the kernel does it; on other systems, and
if that fails, a thread of the child waits until the pipe to the parent closes.
"""

import ctypes
import os
import signal
from contextlib import suppress
from multiprocessing import parent_process
from multiprocessing.connection import wait
from threading import Thread

EXIT_ORPHANED = 1
"""The exit code of a child process that ends for this reason."""

_PR_SET_PDEATHSIG = 1
"""From <linux/prctl.h>: the signal that a process gets when the thread that started it ends."""


def end_with_parent(parent: int) -> None:
    """End this process as soon as its parent has ended, without closing its files.

    Args:
        parent: The process ID of the parent, as the parent sees it. The thread of the parent that
            started this process must outlive it.
    """
    with suppress(OSError, AttributeError):  # not Linux
        prctl = ctypes.CDLL(None).prctl
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # the parent ended before the call of prctl
        os._exit(EXIT_ORPHANED)
    if process := parent_process():
        Thread(target=_watch, args=(process.sentinel,), name="watch parent", daemon=True).start()


def _watch(sentinel: int) -> None:
    wait([sentinel])
    os._exit(EXIT_ORPHANED)
