// A tar archive (POSIX ustar) of a few small entries, the same bytes for the same input.

/** `entries`: [{ name, type: 'file' | 'directory' | 'symlink' | 'link', mode, data?, linkName? }] → Buffer */
export function tar(entries) {
  const parts = entries.flatMap(({ data = Buffer.alloc(0), ...entry }) => [
    header(entry, data.length),
    data,
    Buffer.alloc((512 - (data.length % 512)) % 512),
  ]);
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

const FLAGS = { file: '0', link: '1', symlink: '2', directory: '5' };

function header({ name, type, mode, linkName = '' }, size) {
  const block = Buffer.alloc(512);
  const octal = (value, at, length) => block.write(value.toString(8).padStart(length - 1, '0'), at);
  block.write(name, 0);
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  block.write('        ', 148);
  block.write(FLAGS[type], 156);
  block.write(linkName, 157);
  block.write('ustar\x0000', 257);
  block.write(
    `${block
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
  );
  return block;
}
