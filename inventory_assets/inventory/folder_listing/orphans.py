"""End a process together with the one that started it, however that one ends.

A process that is killed cannot tell those it started. On Linux the kernel does it; elsewhere, and
where that fails, a thread waits for the pipe to the other process to close.
"""

import ctypes
import os
import signal
from contextlib import suppress
from multiprocessing import parent_process
from multiprocessing.connection import wait
from threading import Thread

ORPHANED = 1
"""The exit code of a process that ends for this reason; nobody is left to read it."""

_PR_SET_PDEATHSIG = 1
"""From <linux/prctl.h>: the signal that a process gets when the thread that started it ends."""


def end_with_parent(parent: int) -> None:
    """End this process as soon as the process that started it is no more.

    What it has open is left as it is: nobody is there any more to read it.

    Args:
        parent: The number of that process, as it saw itself. The thread in it that started this
            process must outlive it.
    """
    with suppress(OSError, AttributeError):  # another system than Linux
        prctl = ctypes.CDLL(None).prctl
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the kernel was asked to tell
        os._exit(ORPHANED)
    if process := parent_process():
        Thread(target=_watch, args=(process.sentinel,), name="watch parent", daemon=True).start()


def _watch(sentinel: int) -> None:
    wait([sentinel])
    os._exit(ORPHANED)
