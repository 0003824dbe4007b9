"""One worker per `instance` name: two would evict each other from the group without a reason.

Kafka lets the newer of two static members with one id win, again and again, and says neither
which id it was nor who the other is. A lock tells on one machine; across machines the names
have to differ, as the settings' documentation says.
"""

from __future__ import annotations

import fcntl
import tempfile
from pathlib import Path
from typing import IO

from stream.yamlfile import Faults


def hold_instance(app: str, instance: str) -> IO[str]:
    """Takes the name for as long as the returned file is open, at most until the process ends.

    Raises:
        Faults: if another worker on this machine has it.
    """
    name = "".join(c if c.isalnum() or c in "._-" else "_" for c in f"{app}-{instance}")
    lock = (Path(tempfile.gettempdir()) / f"kpi-stream-{name}.lock").open("w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        fault = f"setting 'instance': {instance!r} is in use by another worker on this machine"
        raise Faults([fault]) from error
    return lock
