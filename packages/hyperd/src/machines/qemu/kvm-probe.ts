import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../../errors.ts';

const PROBE_TIMEOUT_MS = 5_000;
const FIRMWARE_BYTES = 65_536;
/** mov al, 0x31; mov dx, 0x501; out dx, al; hlt: at the reset vector, it ends QEMU with the status below. */
const PROBE_CODE = Buffer.from('b031ba0105eef4', 'hex');
const PROBE_STATUS = (0x31 << 1) | 1;

export type Choice = { readonly accelerator: 'kvm' | 'tcg'; readonly reason: string };

/**
 * Whether KVM does what it promises: /dev/kvm may be there and open, and yet no guest runs (a nested host without the feature). Runs seven
 * bytes of guest code to know.
 */
export async function chooseAccelerator(program: string): Promise<Choice> {
  try {
    const kvm = await open('/dev/kvm', constants.O_RDWR);
    await kvm.close();
  } catch (error) {
    return { accelerator: 'tcg', reason: `/dev/kvm cannot be opened: ${messageOf(error)}` };
  }
  const failure = await runProbe(program);
  return failure === undefined
    ? { accelerator: 'kvm', reason: '/dev/kvm runs guests' }
    : { accelerator: 'tcg', reason: `/dev/kvm can be opened, but runs no guest: ${failure}` };
}

/** undefined when the guest code ran; else what happened. */
async function runProbe(program: string): Promise<string | undefined> {
  const directory = await mkdtemp(join(tmpdir(), 'hyperd-kvm-'));
  try {
    const firmware = join(directory, 'probe.bin');
    const image = Buffer.alloc(FIRMWARE_BYTES, 0xf4);
    PROBE_CODE.copy(image, FIRMWARE_BYTES - 16);
    await writeFile(firmware, image);
    return await new Promise((resolve) => {
      const args = [
        ...['-machine', 'pc', '-accel', 'kvm', '-cpu', 'host', '-m', '16', '-bios', firmware],
        ...['-nodefaults', '-no-user-config', '-display', 'none', '-device', 'isa-debug-exit'],
      ];
      execFile(program, args, { timeout: PROBE_TIMEOUT_MS, killSignal: 'SIGKILL' }, (error, _, stderr) => {
        if (error?.code === PROBE_STATUS) resolve(undefined);
        else if (error?.killed) resolve(`no sign of life within ${PROBE_TIMEOUT_MS} ms`);
        else resolve(stderr.trim().split('\n')[0] || error?.message || 'QEMU ended by itself');
      });
    });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
