import { SheafError } from "../base/errors.ts";
import { quotePath } from "../storage/fs-error.ts";

/** Bytes of a file's start in which a line end is looked for. */
export const LINE_END_BYTES = 64 * 1024;
/** What telling UTF-16 without a mark takes. */
const UNITS_MIN = 8;
const NEWLINE = 10;
const RETURN = 13;

/** As it reads in "FILE is NAME". `encoding`: that of the readers' option; `iconv`: its name for iconv. */
interface WideForm {
  readonly name: string;
  readonly encoding: "utf-16le" | "utf-16be" | null;
  readonly iconv: string;
}

/**
 * Refuses text that is in UTF-16 or UTF-32, by its mark or by where its zeros are.
 * @throws SheafError INPUT_UNREADABLE
 */
export function checkNarrow(path: string, head: Uint8Array): void {
  const form = wideForm(head);
  if (form === null) return;
  const { name, encoding, iconv } = form;
  const hint =
    encoding === null
      ? `Convert it to UTF-8 first: iconv -f ${iconv} -t UTF-8 FILE | sheaf run job.ts -`
      : `Give the reader { encoding: "${encoding}" }, or convert the file: iconv -f ${iconv} -t UTF-8.`;
  throw new SheafError("INPUT_UNREADABLE", `${shown(path)} is text in ${name}, and the reader reads UTF-8`, {
    hint,
    details: { path },
  });
}

function wideForm(head: Uint8Array): WideForm | null {
  const begins = (...bytes: number[]): boolean => bytes.every((byte, i) => head[i] === byte);
  if (begins(0xff, 0xfe, 0, 0)) return { name: "UTF-32 (little-endian)", encoding: null, iconv: "UTF-32LE" };
  if (begins(0, 0, 0xfe, 0xff)) return { name: "UTF-32 (big-endian)", encoding: null, iconv: "UTF-32BE" };
  if (begins(0xff, 0xfe)) return { name: "UTF-16 (little-endian)", encoding: "utf-16le", iconv: "UTF-16LE" };
  if (begins(0xfe, 0xff)) return { name: "UTF-16 (big-endian)", encoding: "utf-16be", iconv: "UTF-16BE" };
  const zeros = [0, 0];
  const units = Math.floor(head.length / 2);
  for (let i = 0; i < 2 * units; i++) if (head[i] === 0) zeros[i % 2]!++;
  if (units < UNITS_MIN) return null;
  // Latin letters, digits and line ends have one zero byte each.
  if (zeros[0] === 0 && zeros[1]! > 0.7 * units)
    return { name: "UTF-16 (little-endian, by its zeros)", encoding: "utf-16le", iconv: "UTF-16LE" };
  if (zeros[1] === 0 && zeros[0]! > 0.7 * units)
    return { name: "UTF-16 (big-endian, by its zeros)", encoding: "utf-16be", iconv: "UTF-16BE" };
  return null;
}

/** Whether more of the file must be seen to tell how its lines end. */
export function lineEndUnseen(head: Uint8Array): boolean {
  return !head.includes(NEWLINE);
}

/**
 * Refuses text whose lines a "\r" alone ends.
 * @param head the first bytes, up to LINE_END_BYTES of them
 * @throws SheafError INPUT_UNREADABLE
 */
export function checkLineEnds(path: string, head: Uint8Array): void {
  if (!lineEndUnseen(head)) return;
  const at = head.indexOf(RETURN);
  // Of a last one the "\n" may just be missing.
  if (at === -1 || at === head.length - 1) return;
  let lines = 0;
  for (let next = at; next !== -1; next = head.indexOf(RETURN, next + 1)) lines++;
  throw new SheafError(
    "INPUT_UNREADABLE",
    `${shown(path)}: "\\r" alone ends its lines: there are ${lines} of them and no "\\n" in its first ${head.length} bytes`,
    {
      hint: 'Give the reader { lineEnd: "\\r" }; or { lineEnd: "\\n" } if these are characters of one long line.',
      details: { path },
    },
  );
}

function shown(path: string): string {
  return path === "-" ? "standard input" : quotePath(path);
}
