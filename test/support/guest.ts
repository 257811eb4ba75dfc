import { join } from 'node:path';

const guests = {
  packaged: { kernel: 'vmlinux', initrd: 'initramfs.cpio' },
  /** What scripts/build-kernel makes. */
  lean: { kernel: 'vmlinux-lean', initrd: 'initramfs-bare.cpio' },
};

const wanted = process.env.HYPER_TEST_GUEST || 'packaged';
if (!Object.hasOwn(guests, wanted))
  throw new Error(`HYPER_TEST_GUEST is "${wanted}"; want ${Object.keys(guests).join(' or ')}`);
const directory = join(import.meta.dirname, '../../build/guest');
const { kernel, initrd } = guests[wanted as keyof typeof guests];

/** Paths of the guest that the tests run, which HYPER_TEST_GUEST chooses. */
export const GUEST = { kernel: join(directory, kernel), initrd: join(directory, initrd) };

/** What tells hyperd to use it; nothing where that is its own choice. */
export const GUEST_ARGS = wanted === 'packaged' ? [] : ['--kernel', GUEST.kernel, '--initrd', GUEST.initrd];
