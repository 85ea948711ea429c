"""What a scenario's ``machine:`` block asks for: the lab's own VM, or a user's host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager

from lab.errors import InputError
from lab.rig.identity import Provided
from lab.rig.own_host.host import Host, host
from lab.rig.vm.accelerator import beyond_uml, choose
from lab.rig.vm.box import box_name
from lab.rig.vm.vagrant import Vm, vm
from lab.scenario.scenario import AnyMachine, HostSpec, Scenario
from lab.scenario.yaml_text import parse

Provider = Vm | Host
"""`up`, then `machine` and `disks`; `abandon` and `up` where it broke."""


def open_machine(spec: AnyMachine, say: Callable[[str], None],
                 beyond_uml: Sequence[str] = ()) -> AbstractContextManager[Provider]:
    """The machine, for this process alone, not yet up; stopped whatever happens.

    ``beyond_uml``: what is asked of it that user-mode Linux cannot do.
    """
    return host(spec, say) if isinstance(spec, HostSpec) else vm(spec, say, beyond_uml)


def needs_vm(spec: AnyMachine) -> bool:
    """Whether Vagrant and QEMU are needed."""
    return not isinstance(spec, HostSpec)


def refuse_impossible(spec: AnyMachine, scenarios: Iterable[Scenario]) -> None:
    """Raises RigError where the VM that the scenarios ask for cannot be had here."""
    if not isinstance(spec, HostSpec):
        choose(spec.accelerator, spec.memory_bytes, beyond_uml(scenarios))


def refuse_ssh_config(scenarios: Iterable[Scenario]) -> None:
    """Raises InputError where a scenario brings an ssh configuration: ssh would run what it says on this computer."""
    for scenario in scenarios:
        if isinstance(scenario.machine, HostSpec) and scenario.machine.ssh_config is not None:
            raise InputError(f"the scenario's ssh_config, {scenario.machine.ssh_config}, may run commands on this "
                             "computer (ProxyCommand, LocalCommand, Match exec)",
                             where=parse(scenario.text, scenario.path).where(("machine", "ssh_config")),
                             remedy="read that file, and what it includes, then add --allow-ssh-config; or put the "
                                    "Host into your own ssh configuration")


def provider_name(spec: AnyMachine) -> str:
    """The box of the VM, or ``host:<name>``: part of every content key."""
    return f"host:{spec.host}" if isinstance(spec, HostSpec) else box_name()


def expected(spec: AnyMachine) -> Provided:
    """What is known of the machine before it was up."""
    if isinstance(spec, HostSpec):
        return Provided(disks="host")
    return Provided(cpus=spec.cpus, memory_bytes=spec.memory_bytes, disks=spec.disks,
                    pool_disk_bytes=spec.pool_disk_bytes, spare_disk_bytes=spec.spare_disk_bytes)
