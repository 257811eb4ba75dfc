import { HyperError } from '../../errors.ts';
import type { DiskImage } from '../machine.ts';
import type { Qmp } from './qmp.ts';

/** QEMU's description of a disk image. Drivers are named: nothing in the image chooses one, or another file. */
export function blockdevOf(node: string, { path, format, readOnly, cache = 'writeback' }: DiskImage): object {
  const flags = {
    direct: cache === 'none' || cache === 'off' || cache === 'directsync',
    'no-flush': cache === 'unsafe',
  };
  const common = { 'read-only': readOnly, discard: 'unmap', cache: flags };
  return {
    ...{ 'node-name': node, driver: format, ...common },
    ...(format === 'qcow2' ? { backing: null } : {}),
    file: { driver: 'file', filename: path, ...common },
  };
}

/** Whether the guest's writes may wait in a cache until it flushes. */
export function writeCacheOf({ cache = 'writeback' }: DiskImage): 'on' | 'off' {
  return cache === 'writethrough' || cache === 'directsync' ? 'off' : 'on';
}

/**
 * Throws `invalid-argument` where an opened qcow2 image keeps its data in another file of the host. Asked of QEMU itself: whoever can write to
 * the image could have changed it since anybody looked.
 */
export async function refuseOtherFiles(qmp: Qmp, node: string, { path, format }: DiskImage): Promise<void> {
  if (format !== 'qcow2') return;
  const nodes = (await qmp.execute('query-named-block-nodes', { flat: true })) as {
    readonly 'node-name'?: string;
    readonly image?: {
      readonly 'format-specific'?: { readonly data?: { readonly 'data-file'?: string } };
    };
  }[];
  const opened = nodes.find((each) => each['node-name'] === node);
  if (opened?.image?.['format-specific']?.data?.['data-file'] === undefined) return;
  throw new HyperError('invalid-argument', `use disk image ${path}: its data is in another file`);
}
