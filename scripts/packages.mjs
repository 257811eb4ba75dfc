// The Debian packages that hyperd needs, checked and installed.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** What running pods needs. */
export const RUN_PACKAGES = ['qemu-system-x86', 'squashfs-tools-ng', 'e2fsprogs'];
/** What building the guest needs. */
export const BUILD_PACKAGES = [
  ...['gcc', 'make', 'binutils', 'cpio', 'musl-tools', 'linux-libc-dev', 'nanopb', 'libnanopb-dev'],
  ...['protobuf-compiler', 'busybox-static'],
];
/** What the tests need besides. */
export const TEST_PACKAGES = ['docker-registry', 'skopeo', 'clang', 'libclang-rt-14-dev'];

/** Installs what is missing of `names`. Throws with the names where it cannot. */
export function ensurePackages(names) {
  if (!existsSync('/usr/bin/dpkg-query') || !existsSync('/usr/bin/apt-get')) {
    throw new Error(
      `this set-up knows Debian only (no apt-get here); install what these Debian packages hold: ${names.join(' ')}`,
    );
  }
  const missing = names.filter((name) => !isInstalled(name));
  if (missing.length === 0) return;
  console.log(`set-up: install Debian packages: ${missing.join(' ')}`);
  const sudo = process.getuid() === 0 ? [] : ['sudo', ...(process.stdin.isTTY ? [] : ['-n'])];
  if (
    sudo.length > 0 &&
    spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status !== 0 &&
    !process.stdin.isTTY
  ) {
    throw new Error(
      `these Debian packages are missing, and neither root nor sudo is at hand to install them: ${missing.join(' ')}`,
    );
  }
  // Packages may start the service they bring: not on a machine that only wants the program.
  const environment = ['env', 'DEBIAN_FRONTEND=noninteractive', 'RUNLEVEL=1'];
  const apt = (...args) => run([...sudo, ...environment, 'apt-get', '-q', ...args], missing);
  if (!isKnown(missing)) apt('update');
  apt('install', '-y', '--no-install-recommends', ...missing);
}

function isInstalled(name) {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg's own placeholder
  const { status, stdout } = spawnSync('dpkg-query', ['-W', '-f', '${db:Status-Status}', name], {
    encoding: 'utf8',
  });
  return status === 0 && stdout === 'installed';
}

/** Whether apt has a list that offers all of them. */
function isKnown(names) {
  return names.every((name) =>
    /Candidate: \d/.test(execFileSync('apt-cache', ['policy', name], { encoding: 'utf8' })),
  );
}

function run([command, ...args], missing) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (status === 0) return;
  const said = `${stdout ?? ''}${stderr ?? ''}${error?.message ?? ''}`
    .trim()
    .split('\n')
    .slice(-15)
    .join('\n');
  throw new Error(`installing Debian packages failed (${missing.join(' ')}):\n${said}`);
}
