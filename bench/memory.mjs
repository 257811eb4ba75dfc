// What processes take of the host's memory.
import { readdirSync, readFileSync } from 'node:fs';
import { commandLineOf } from './surroundings.mjs';

/**
 * MiB of a QEMU process: `privateMib`, dirty pages that are its own, TCG's buffer aside; `tcgMib`, that buffer's; `pssMib`, its share of everything
 * it has in memory.
 */
export function machineMemory(pid) {
  let isTcg = false;
  const kib = { private: 0, tcg: 0, pss: 0 };
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    const [, permissions] = /^[0-9a-f]+-[0-9a-f]+ (\S{4}) /.exec(line) ?? [];
    // Translated code is all that may be written and run.
    if (permissions !== undefined) isTcg = permissions.startsWith('rwx');
    const [, name, value] = /^(Pss|Private_Dirty):\s+(\d+) kB$/.exec(line) ?? [];
    if (name === 'Pss') kib.pss += Number(value);
    else if (name !== undefined) kib[isTcg ? 'tcg' : 'private'] += Number(value);
  }
  return { privateMib: kib.private / 1024, tcgMib: kib.tcg / 1024, pssMib: kib.pss / 1024 };
}

/** MiB that are resident of a process. */
export function residentMib(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? Number.NaN) / 1024;
}

/** Private MiB of a process: dirty pages that no other has. */
export function privateMib(pid) {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/Private_Dirty:\s+(\d+)/.exec(rollup)?.[1] ?? Number.NaN) / 1024;
}

/** Seconds of the processor that a process has used. */
export function cpuSeconds(pid) {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Processes whose program and command line hold these texts. */
export function pidsOf(...texts) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      const line = commandLineOf(name);
      return texts.every((text) => line.includes(text));
    })
    .map(Number);
}
