"""What has passed through a pool: bytes and events, from which write amplification falls out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """What has passed through a pool.  Bytes, or counts."""

    bytes_written: int = 0
    """Written by the applications."""
    bytes_read: int = 0
    """Read by the applications from mapped blocks."""
    bytes_copied: int = 0
    """Copied to break sharing; each is read and written."""
    bytes_zeroed: int = 0
    """Zeroed before a partial first write."""
    bytes_allocated: int = 0
    """Size of the data blocks allocated, copies included."""
    bytes_discarded: int = 0
    """Size of the mappings discarded."""
    bytes_passed_down: int = 0
    """Discards that reached the data device."""
    copies: int = 0
    """Data blocks copied."""
    shares_broken: int = 0
    """Mappings made anew because they were older than a snapshot, whether or not that took a copy."""
    commits: int = 0
    low_water_events: int = 0

    @property
    def write_amplification(self) -> float:
        """Bytes written to the data device for each byte that the application wrote."""
        below = self.bytes_written + self.bytes_copied + self.bytes_zeroed
        return below / self.bytes_written if self.bytes_written else float("nan")
