/** Tells `resize` the terminal's size now and whenever it changes, until the result is called. */
export function followWindowSize(
  stdout: NodeJS.WriteStream,
  resize: (size: { readonly rows: number; readonly columns: number }) => Promise<void>,
): () => void {
  if (!stdout.isTTY) return () => undefined;
  const tell = (): void => {
    const { rows, columns } = stdout;
    if (rows > 0 && columns > 0) {
      resize({ rows, columns }).catch(() => undefined); // the process may just have ended
    }
  };
  tell();
  stdout.on('resize', tell);
  return () => void stdout.off('resize', tell);
}
