import { isIPv4, isIPv6 } from 'node:net';
import { isAbsolute } from 'node:path';
import { messageOf } from '../errors.ts';
import type { UserRange } from '../machines/machine-users.ts';
import { isDeviceName } from '../networks/devices.ts';
import { parseCidr } from '../networks/subnet.ts';
import { isLogFileCount, isLogSize, LOG_FILES_TEXT, LOG_SIZE_TEXT } from '../pods/logs/log-settings.ts';
import { FACTORY_POLICY_TEXT, parseFactoryPolicy } from './factory-policy.ts';

/** What a setting's value may be; `allowed` is for the error message. */
export interface Kind {
  readonly allowed: string;
  accepts(value: string): boolean;
  /** What exactly is wrong with a value that is not accepted; absent: that it is not `allowed`. */
  explain?(value: string): string;
}

const text: Kind = { allowed: 'any text', accepts: () => true };
const path: Kind = { allowed: 'an absolute path', accepts: (value) => isAbsolute(value) };
const bool: Kind = {
  allowed: 'true or false',
  accepts: (value) => /^(true|false|yes|no|on|off|1|0)$/i.test(value),
};
/** What a setting of kind `bool` means; false where it is not given. */
export function isTrue(value: string | undefined): boolean {
  return /^(true|yes|on|1)$/i.test(value ?? '');
}

export const poolSize: Kind = {
  allowed: 'a whole number from 0 (no pool) to 256',
  accepts: (value) => /^\d{1,3}$/.test(value) && Number(value) <= 256,
};

const minutes: Kind = {
  allowed: 'a whole number of minutes from 1 to 1440',
  accepts: (value) => /^\d{1,4}$/.test(value) && Number(value) >= 1 && Number(value) <= 1440,
};

const factoryPolicy: Kind = {
  allowed: FACTORY_POLICY_TEXT,
  accepts: (value) => factoryPolicyError(value) === undefined,
  explain: (value) => factoryPolicyError(value) ?? '',
};

function factoryPolicyError(value: string): string | undefined {
  try {
    parseFactoryPolicy(value);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

const count: Kind = { allowed: 'a whole number from 0 on', accepts: (value) => /^\d{1,9}$/.test(value) };
const host: Kind = {
  allowed: 'unix:///PATH, tcp://ADDRESS:PORT or tls://ADDRESS:PORT',
  accepts: (value) => /^(unix:\/\/\/.+|(tcp|tls):\/\/.*:\d{1,5})$/.test(value),
};

export const absolutePath = path;
export const auditTarget: Kind = {
  allowed: 'an absolute path, or none',
  accepts: (value) => value === 'none' || isAbsolute(value),
};
export const groupName: Kind = {
  allowed: 'the name or number of a group',
  accepts: (value) => /^[a-z0-9_][a-z0-9_.-]{0,31}$/i.test(value),
};
export const socketMode: Kind = {
  allowed: 'octal permissions that let the owner in, such as 660 or 600',
  accepts: (value) => /^0?[67][0-7][0-7]$/.test(value),
};
const oneOf = (...values: string[]): Kind => ({
  allowed: values.join(', '),
  accepts: (value) => values.includes(value.toLowerCase()),
});

/** Comma-separated. */
export function listOf(value: string | undefined): string[] {
  return (value ?? '')
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

export const pathList: Kind = {
  allowed: 'absolute paths, comma-separated',
  accepts: (value) => listOf(value).length > 0 && listOf(value).every((item) => isAbsolute(item)),
};

export const mirrorList: Kind = {
  allowed: 'URL or HOST=URL, comma-separated, such as https://mirror.example',
  accepts: (value) => listOf(value).every((item) => isWebUrl(item.replace(/^[^=/]+=/, ''))),
};

function isWebUrl(text: string): boolean {
  const protocol = URL.parse(text)?.protocol;
  return protocol === 'http:' || protocol === 'https:';
}

export const ipv4: Kind = { allowed: 'an IPv4 address of this host, or 0.0.0.0 for all', accepts: isIPv4 };

export const deviceName: Kind = {
  allowed: 'a name for a bridge: at most 15 characters of a-zA-Z0-9_.-',
  accepts: isDeviceName,
};

export const bridgeAddress: Kind = {
  allowed: 'an IPv4 address with prefix length 8 to 30, such as 192.168.123.1/24',
  accepts: (value) => {
    const { prefixLength = 0 } = parseCidr(value) ?? {};
    return prefixLength >= 8 && prefixLength <= 30;
  },
};

export const tcpAddress: Kind = {
  allowed: 'ADDRESS:PORT, such as 127.0.0.1:22318',
  accepts: (value) => {
    const [, bracketed, plain = '', port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(value) ?? [];
    const isAddress = bracketed === undefined ? isIPv4(plain) || plain === 'localhost' : isIPv6(bracketed);
    return isAddress && Number(port) <= 65_535;
  },
};

/** Whether what `tcpAddress` accepts is reached from this host only. */
export function isLoopback(address: string): boolean {
  return /^(127\.|localhost:|\[::1\]:)/.test(address);
}

export const size: Kind = {
  allowed: 'a size from 1 on, such as 500M or 8G',
  accepts: (value) => bytesOf(value) > 0,
};

/** Bytes of `500M`; NaN for what is no size. */
export function bytesOf(value: string): number {
  const [, count, unit = ''] = /^(\d{1,9})([KMGT]?)(?:i?B)?$/i.exec(value) ?? [];
  return Number(count) * 1024 ** ' KMGT'.indexOf(unit.toUpperCase() || ' ');
}

export const userRange: Kind = {
  allowed: 'FIRST:COUNT, such as 200000:65536, from 1000 and with at least 2, or none',
  accepts: (value) => value.toLowerCase() === 'none' || isUserRange(parseUserRange(value)),
};

export const cgroupPlace: Kind = {
  allowed: 'auto, none, or the path of a cgroup, such as /machines.slice',
  accepts: (value) => /^(auto|none)$/i.test(value) || (isAbsolute(value) && !/(^|\/)\.\.?(\/|$)/.test(value)),
};

export function parseCgroup(value = 'auto'): string {
  return isAbsolute(value) ? value : value.toLowerCase();
}

export function parseUserRange(value: string): UserRange {
  const [, first, count] = /^(\d{1,10}):(\d{1,10})$/.exec(value) ?? [];
  return { first: Number(first), count: Number(count) };
}

/** The last two numbers of 32 bits are nobody's. */
function isUserRange({ first, count }: UserRange): boolean {
  return first >= 1000 && count >= 2 && first + count <= 2 ** 32 - 2;
}

export interface Setting {
  readonly kind: Kind;
  /** False: accepted for old files, without effect in this version. */
  readonly hasEffect: boolean;
}

const used = (kind: Kind): Setting => ({ kind, hasEffect: true });
const idle = (kind: Kind): Setting => ({ kind, hasEffect: false });

/** The keys of the configuration file (API of the original), by lower-case name, section "" first. */
export const SETTINGS: Readonly<Record<string, Readonly<Record<string, Setting>>>> = {
  '': {
    root: used(path),
    host: used(host),
    kernel: used(path),
    initrd: used(path),
    tlsdir: used(path),
    socketgroup: used(groupName),
    socketmode: used(socketMode),
    auditlog: used(auditTarget),
    hypervisor: used(oneOf('qemu', 'qemu-kvm', 'kvm', 'libvirt', 'xen', 'xenpv', 'kvmtool')),
    registrymirror: used(mirrorList),
    insecureregistry: used(text),
    certsdir: used(text),
    maximagesize: used(size),
    volumeroots: used(pathList),
    publishaddress: used(ipv4),
    hostloopback: used(bool),
    bridge: used(deviceName),
    bridgeip: used(bridgeAddress),
    disableiptables: used(bool),
    logger: used(oneOf('json-file', 'none')),
    grpchost: used(tcpAddress),
    vmfactorypolicy: used(factoryPolicy),
    poolmax: used(poolSize),
    poolmin: used(poolSize),
    poolimages: used(bool),
    poolidleminutes: used(minutes),
    machineusers: used(userRange),
    cgroup: used(cgroupPlace),
    storagedriver: idle(text),
    storagebasesize: idle(text),
    enablevsock: idle(bool),
    gdbtcpport: idle(count),
    buffergoroutinesmax: idle(count),
    bufferchannelsize: idle(count),
    bios: idle(text),
    cbfs: idle(text),
    vbox: idle(text),
  },
  log: {
    ...{ podlogprefix: used(path), podidinpath: used(bool), labels: used(text), env: used(text) },
    'max-size': used({ allowed: LOG_SIZE_TEXT, accepts: isLogSize }),
    'max-file': used({ allowed: LOG_FILES_TEXT, accepts: isLogFileCount }),
  },
};
