/** Without what the original's encoder leaves out of structs: "", 0, false, empty lists and what is absent. Objects stay, even empty. */
export function omitEmpty<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => {
      if (Array.isArray(value)) return value.length > 0;
      return value !== undefined && value !== '' && value !== 0 && value !== false;
    }),
  ) as Partial<T>;
}
