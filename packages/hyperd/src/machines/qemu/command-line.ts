import { join } from 'node:path';
import { MAX_FURTHER_NETWORKS } from '../../networks/network.ts';
import { USER_MODE_NETWORK6 } from '../../networks/user-mode.ts';
import type { VmHardware } from '../driver.ts';
import { NETDEV } from './port-forwards.ts';

/** Changes whenever a template made before would not fit the machine described here. */
export const MACHINE_VERSION = 7;

/** Slots for file servers that are plugged in later; what they cost at a start could not be measured. */
export const SHARE_PORTS = 4;

/** The slots' names. */
export const sharePort = (port: number): string => `share-port${port}`;
export const cardPort = (card: number): string => `card-port${card}`;

export type Accelerator = 'kvm' | 'tcg';

/** Where the machine's memory lives: in the template's file, shared while the template is made, copy on write or copied afterwards. */
export type Memory =
  | { readonly kind: 'anonymous' }
  | { readonly kind: 'template'; readonly path: string }
  | { readonly kind: 'clone'; readonly path: string }
  /** In a file that file servers map as well (`path`: /proc/self/fd/N): a copy of the template's, or empty for a boot. */
  | { readonly kind: 'shared-clone' | 'shared-boot'; readonly path: string };

export interface CommandLine {
  readonly accelerator: Accelerator;
  /** The machine's directory as the daemon knows it: nothing but what the process is recognized by. */
  readonly name: string;
  /** The same as the process gets at it. */
  readonly directory: string;
  readonly hardware: VmHardware;
  readonly kernel: string;
  readonly initrd: string;
  readonly memory: Memory;
  /** Descriptor of a device of the host; undefined: QEMU's own network in user space. */
  readonly tap?: number | undefined;
}

const KERNEL_ARGUMENTS = [
  ...['console=ttyS0', 'quiet', 'panic=-1', 'reboot=t', 'cryptomgr.notests', 'random.trust_cpu=on'],
  ...['rcupdate.rcu_expedited=1', 'i8042.noaux', 'i8042.nokbd', 'tsc=reliable'],
];
/**
 * Without hardware virtualization these only cost time: the guest runs in an emulator. Pages that go to programs are cleared as ever; those that the
 * kernel is about to fill itself (pipes, buffers of devices) are not cleared before.
 */
const TCG_KERNEL_ARGUMENTS = ['mitigations=off', 'nopti', 'nokaslr', 'no_timer_check', 'init_on_alloc=0'];
/**
 * Everything that can be emulated, but for the promise that "rep movsb" is quick: an emulator does it byte by byte, and the guest's kernel would
 * copy and clear all of its memory that way (measured: pipes seven times as fast without).
 */
const TCG_PROCESSOR = 'max,erms=off,fsrm=off';
/**
 * MiB of translated code that TCG keeps before it throws all of it away; memory is taken as it fills. A machine that has started a container of a
 * common image has 33 to 42: with 32 the rehearsal of a pool machine was lost again when its pod came (measured: 300 ms to the first byte instead of 65).
 */
const TCG_BUFFER_MIB = 64;

/** Arguments for qemu-system-x86_64. The devices are the same for every kind of memory: a clone must match its template. */
export function qemuArguments(line: CommandLine): string[] {
  const { accelerator, name, directory, hardware } = line;
  return [
    ...['-name', `guest=${escaped(name)}`],
    ...['-machine', 'q35,memory-backend=ram,vmport=off,usb=off,graphics=off'],
    ...['-accel', accelerator === 'kvm' ? 'kvm' : `tcg,tb-size=${TCG_BUFFER_MIB}`],
    ...['-cpu', accelerator === 'kvm' ? 'host' : TCG_PROCESSOR, '-smp', String(hardware.vcpus)],
    ...['-m', `${hardware.ramMib}M`, '-object', memoryObject(line)],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...['-chardev', `socket,id=qmp,path=${escaped(join(directory, 'qmp.sock'))},server=on,wait=off`],
    ...['-mon', 'chardev=qmp,mode=control'],
    ...['-chardev', `socket,id=files,path=${escaped(join(directory, 'files.sock'))},server=on,wait=off`],
    ...['-mon', 'chardev=files,mode=control'], // takes files that the daemon has opened: pass-file.ts
    ...['-chardev', `file,id=console,path=${escaped(join(directory, 'console.log'))},append=on`],
    ...['-serial', 'chardev:console'],
    ...bootArguments(line),
    ...['-device', 'virtio-serial-pci,id=serial0'],
    ...['-chardev', `socket,id=agent,path=${escaped(join(directory, 'agent.sock'))},server=on,wait=off`],
    ...['-device', 'virtserialport,bus=serial0.0,nr=1,chardev=agent,name=hyperd.agent.0'],
    ...['-device', 'virtio-scsi-pci,id=scsi0,hotplug=off'], // the agent scans the target it is told
    ...['-netdev', networkBackend(line)],
    ...['-device', `virtio-net-pci,netdev=${NETDEV},romfile=,mac=52:54:00:00:00:01`],
    ...['-device', 'virtio-rng-pci', '-device', 'vmgenid,guid=auto'],
    ...['-device', 'virtio-balloon-pci,free-page-reporting=on'], // what the guest has freed is the host's again
    ...slots(),
    ...(line.memory.kind === 'clone' || line.memory.kind === 'shared-clone' ? ['-incoming', 'defer'] : []),
  ];
}

/**
 * All kinds have the same abilities (none), so that what the guest has found in the template holds on in every clone. A template's leads
 * nowhere: the user-mode network would put a state of its own into it, which a clone with a tap has no place for.
 */
function networkBackend({ tap, memory }: CommandLine): string {
  if (memory.kind === 'template') return `hubport,id=${NETDEV},hubid=0`;
  return tap === undefined
    ? `user,id=${NETDEV},ipv6-net=${USER_MODE_NETWORK6}`
    : `tap,id=${NETDEV},fd=${tap}`;
}

function memoryObject({ memory, hardware }: CommandLine): string {
  const size = `size=${hardware.ramMib}M`;
  switch (memory.kind) {
    case 'anonymous':
      return `memory-backend-ram,id=ram,${size}`;
    case 'template':
    case 'shared-clone':
    case 'shared-boot':
      return `memory-backend-file,id=ram,${size},share=on,mem-path=${escaped(memory.path)}`;
    case 'clone':
      return `memory-backend-file,id=ram,${size},share=off,mem-path=${escaped(memory.path)}`;
  }
}

/** Plugging goes by the ports' own interrupts: by ACPI it takes as long, and has tables that cost time at every start. */
function slots(): string[] {
  const names = [
    ...Array.from({ length: SHARE_PORTS }, (_, port) => sharePort(port)),
    ...Array.from({ length: MAX_FURTHER_NETWORKS }, (_, index) => cardPort(index + 1)),
  ];
  const ports = names.map((name, index) => [
    ...['-device', `pcie-root-port,id=${name},chassis=${index + 1},slot=${index + 1}`],
  ]);
  return ['-global', 'ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off', ...ports.flat()];
}

function bootArguments({ accelerator, kernel, initrd }: CommandLine): string[] {
  const append = [...KERNEL_ARGUMENTS, ...(accelerator === 'tcg' ? TCG_KERNEL_ARGUMENTS : [])];
  return ['-kernel', kernel, '-initrd', initrd, '-append', append.join(' ')];
}

/** A path as a value of a QEMU option, where a comma ends the value. */
export function escaped(path: string): string {
  return path.replaceAll(',', ',,');
}
