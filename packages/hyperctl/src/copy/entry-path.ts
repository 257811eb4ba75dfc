/** The parts of an entry's name; empty for the top of the archive itself. Throws where it would lead out of the destination, or is no name. */
export function entryParts(name: string): string[] {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..') || name.includes('\0')) {
    throw new Error(`unpack "${name.slice(0, 300)}": the name leads out of the destination`);
  }
  return parts;
}
