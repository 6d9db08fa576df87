/** What a map made by `grep()` looks for. */
export interface LineFilter {
  readonly pattern: string | RegExp;
  readonly invert: boolean;
}

/**
 * A map that emits the lines in which `pattern` is found, as keys without values: `map: grep("ERROR")`. A
 * string is looked for as it is; the flags g and y of a RegExp are ignored. On a plain text() reader, in a
 * job without reduce that writes text(), a string is looked for in the bytes, and lines without it are never
 * made into JavaScript strings.
 * @param options invert: emit the lines in which it is not found (default false)
 */
export function grep(
  pattern: string | RegExp,
  options: { readonly invert?: boolean } = {},
): (line: string, emit: (key: string) => void) => void {
  const invert = options.invert ?? false;
  const filter: LineFilter = { pattern, invert };
  if (typeof pattern === "string") {
    const map = (line: string, emit: (key: string) => void): void => {
      if (line.includes(pattern) !== invert) emit(line);
    };
    return Object.assign(map, { filter });
  }
  // A global or sticky expression remembers where it stopped: the next line would be searched from there.
  const regex = new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, ""));
  const map = (line: string, emit: (key: string) => void): void => {
    if (regex.test(line) !== invert) emit(line);
  };
  return Object.assign(map, { filter });
}

/** What a map made by `grep()` looks for; undefined for any other. */
export function filterOf(map: unknown): LineFilter | undefined {
  return typeof map === "function" && "filter" in map
    ? (map as unknown as { filter: LineFilter }).filter
    : undefined;
}
