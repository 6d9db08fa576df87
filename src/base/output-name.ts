import { SheafError } from "./errors.ts";
import { limits } from "./limits.ts";

const { outputNameCharsMax: NAME_CHARS_MAX, outputSegmentBytesMax: SEGMENT_BYTES_MAX } = limits;

// oxlint-disable-next-line no-control-regex
const NO_FILE_NAME = /[<>:"\\|?*\u0000-\u001f\u007f]/;
/** Names that Windows keeps for devices, with any extension. */
const DEVICE = /^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i;

/**
 * Why a text cannot name directories below an output directory ("2024-01-01", "2024/01"), such as "it is
 * empty". undefined when it can, on every file system.
 */
export function outputNameProblem(name: unknown): string | undefined {
  if (typeof name !== "string") return `it is ${name === null ? "null" : `a ${typeof name}`}, no text`;
  if (name === "") return "it is empty";
  if (name.length > NAME_CHARS_MAX) return `it has more than ${NAME_CHARS_MAX} characters`;
  if (!name.isWellFormed()) return "it holds half of a surrogate pair";
  for (const segment of name.split("/")) {
    if (segment === "") return name.startsWith("/") ? "it begins with /" : "there is nothing between two /";
    if (segment.startsWith(".") || segment.startsWith("_"))
      return 'what begins with "." or "_" is hidden from those who read the output, or sheaf\'s own';
    if (/^part-\d/.test(segment)) return 'files of results are called "part-00000"';
    if (/[. ]$/.test(segment)) return "it ends with a point or a space";
    const bad = NO_FILE_NAME.exec(segment);
    if (bad !== null) return `it holds ${JSON.stringify(bad[0])}, which not every file system takes`;
    if (DEVICE.test(segment)) return "Windows keeps that name for a device";
    if (Buffer.byteLength(segment) > SEGMENT_BYTES_MAX)
      return `it has more than ${SEGMENT_BYTES_MAX} bytes between two /`;
  }
  return undefined;
}

/** Names of directories side by side: tells those that are one directory where case does not count. */
export class OutputNames {
  readonly #folded = new Map<string, string>();

  /** The earlier name that would be the same directory as `name` or one above it or undefined. */
  clash(name: string): string | undefined {
    for (let end = name.indexOf("/"); ; end = name.indexOf("/", end + 1)) {
      const path = end < 0 ? name : name.slice(0, end);
      const folded = path.normalize("NFC").toLowerCase();
      const before = this.#folded.get(folded);
      if (before === undefined) this.#folded.set(folded, path);
      else if (before !== path) return before;
      if (end < 0) return undefined;
    }
  }
}

/** Two names that are one directory where case does not count. */
export function clashOf(a: string, b: string): SheafError {
  const [first, second] = a < b ? [a, b] : [b, a];
  const both = `${JSON.stringify(first)} and ${JSON.stringify(second)}`;
  const message = `route() gave the names ${both}, one directory on some file systems`;
  return new SheafError("VALUE_INVALID", message, {
    hint: "Give names that differ in more than case: name.toLowerCase(), for one.",
  });
}
