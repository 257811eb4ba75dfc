/** A name that nobody else has. node:crypto is loaded for it only now: importing it would cost every command a good part of its start. */
export function uniqueName(): string {
  return process.getBuiltinModule('node:crypto').randomUUID();
}
