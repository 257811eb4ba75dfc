// The Debian packages that hyperd needs: checked, installed, or only unpacked.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What running pods needs. */
export const RUN_PACKAGES = ['qemu-system-x86', 'qemu-system-common', 'e2fsprogs', 'xz-utils', 'bzip2'];
/** What building the guest needs. */
export const BUILD_PACKAGES = [
  ...['gcc', 'libc6-dev', 'linux-libc-dev', 'make', 'binutils', 'cpio', 'xz-utils', 'musl-tools'],
  ...['nanopb', 'libnanopb-dev', 'protobuf-compiler', 'busybox-static', 'erofs-utils'],
  'libslirp-dev',
];
/** What building a guest kernel needs besides. */
export const KERNEL_PACKAGES = ['bc', 'flex', 'bison', 'libelf-dev', 'libssl-dev', 'gcc', 'make', 'xz-utils'];
/** What the tests need besides. */
export const TEST_PACKAGES = [
  'qemu-utils',
  'zstd',
  'curl',
  'git',
  'skopeo',
  'clang',
  'zsh',
  'fish',
  'groff-base',
  'iproute2',
  'nftables',
  'iptables',
  'openssl',
  'openssh-client',
];

// What apt and dpkg say is read: it has to be in English.
const SPAWN = { encoding: 'utf8', maxBuffer: 1 << 28, env: { ...process.env, LC_ALL: 'C' } };
const APT_SETTINGS = ['-q', '-o', 'DPkg::Lock::Timeout=300'];
const SAID_LINES = 15;
// biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg's own placeholders
const STATE_FORMAT = '${Package} ${db:Status-Status}\n';

/** Installs what is missing of `names`. Throws with the names where it cannot. */
export function ensurePackages(names) {
  if (!existsSync('/usr/bin/dpkg-query') || !existsSync('/usr/bin/apt-get')) {
    throw new Error(
      `this set-up knows Debian only (no apt-get here); install what these Debian packages hold: ${names.join(' ')}`,
    );
  }
  const missing = missingOf(names);
  if (missing.length === 0) return;
  const why = `install the Debian packages ${missing.join(' ')}`;
  const privilege = privilegeTo(why);
  console.log(`set-up: ${why} (this may take minutes)`);
  const install = ['install', '-y', '--no-install-recommends', ...missing];
  withFreshLists(privilege, why, () => apt(privilege, install));
}

/** The sanitizers and the fuzzer of the installed clang: Debian has their package's name bear clang's version. */
export function clangRuntimePackage() {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg's own placeholder
  const { stdout } = spawnSync('dpkg-query', ['-W', '-f', '${Depends}', 'clang'], SPAWN);
  const version = /clang-(\d+)/.exec(stdout)?.[1];
  if (!version) throw new Error(`read which clang is installed: its package depends on "${stdout}"`);
  return `libclang-rt-${version}-dev`;
}

/**
 * Downloads the package that `resolveName` tells and unpacks it as `directory`, which then holds its name and version in the file PACKAGE.
 * Nothing is installed, and no root needed.
 */
export function unpackPackage(resolveName, directory) {
  const draft = `${directory}.tmp`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { recursive: true });
  withFreshLists(undefined, `download a Debian package for ${directory}`, () => {
    const name = resolveName();
    return name ? apt([], ['download', name], draft) : { status: 1, stderr: 'apt knows no such package' };
  });
  const [archive] = readdirSync(draft);
  checked(spawnSync('dpkg-deb', ['-x', join(draft, archive), draft], SPAWN), `unpack ${archive}`);
  rmSync(join(draft, archive));
  writeFileSync(join(draft, 'PACKAGE'), `${archive.replace(/\.deb$/, '')}\n`);
  rmSync(directory, { recursive: true, force: true });
  renameSync(draft, directory);
}

/** The first package that `name`, a package without contents, stands for and that `pattern` matches. */
export function dependencyOf(name, pattern) {
  const { stdout } = spawnSync('apt-cache', ['depends', name], SPAWN);
  return stdout.match(/(?<=Depends: )\S+/g)?.find((dependency) => pattern.test(dependency));
}

function missingOf(names) {
  const { stdout } = spawnSync('dpkg-query', ['-W', '-f', STATE_FORMAT, ...names], SPAWN);
  const states = stdout.split('\n');
  return names.filter((name) => !states.includes(`${name} installed`));
}

/** Runs `work` (which returns what spawnSync does); where it fails, once more with new package lists. */
function withFreshLists(privilege, why, work) {
  const first = work();
  if (first.status === 0) return;
  checked(apt(privilege ?? privilegeTo(why, first), ['update']), `${why}: update the package lists`);
  checked(work(), why);
}

function apt(privilege, args, cwd) {
  const [command, ...before] = [...privilege, 'env', 'LC_ALL=C', 'DEBIAN_FRONTEND=noninteractive'];
  const all = [...before, 'NEEDRESTART_SUSPEND=1', 'apt-get', ...APT_SETTINGS, ...args];
  return spawnSync(command, all, { ...SPAWN, cwd });
}

/** What comes before a command that needs root. sudo may ask for a password where there is a terminal. */
function privilegeTo(why, failure) {
  if (process.getuid() === 0) return [];
  if (spawnSync('sudo', ['-n', 'true'], SPAWN).status === 0) return ['sudo', '-n'];
  if (process.stdin.isTTY && existsSync('/usr/bin/sudo')) return ['sudo'];
  const before = failure ? `\nwithout it:\n${said(failure)}` : '';
  throw new Error(`${why}: needs root, and neither root nor sudo is at hand${before}`);
}

function checked(result, what) {
  if (result.status !== 0) throw new Error(`${what}: failed:\n${said(result)}`);
}

function said({ stdout, stderr, error }) {
  const text = `${stdout ?? ''}${stderr ?? ''}${error?.message ?? ''}`.trim();
  return text.split('\n').slice(-SAID_LINES).join('\n');
}
