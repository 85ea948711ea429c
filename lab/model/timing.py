"""How long things take in the simulated machine.

Seconds matter to growth only through the clock: XFS writes its inodes back every half minute, dmeventd looks every ten
seconds.  The defaults are medians of the reference run; ``lab calibrate`` takes them from the runs that it is given.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds."""

    start_seconds: float = 3.1
    """Of one ``docker run``."""
    mount_share: float = 0.3
    """The part of that after which the container's file system is mounted."""
    check_seconds: float = 1.7
    """Of reading back how the first container's file system is mounted."""
    exec_seconds: float = 1.2
    """Of entering a container for one piece of work."""
    remove_seconds: float = 0.6
    """Of removing one container."""
    boundary_seconds: float = 0.6
    """Of one boundary record."""
    measure_seconds: float = 0.5
    """What the daemon adds to a boundary record for the size of one container on devicemapper."""
    write_seconds_per_mib: float = 0.007
    """Of file work, with its fsync."""
    sync_seconds: float = 0.04
    """Of one ``sync``."""
