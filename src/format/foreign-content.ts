import { isAscii } from "node:buffer";
import { SheafError } from "../base/errors.ts";
import { quotePath } from "../storage/fs-error.ts";
import { detectCompression, promisedCompression } from "./detect-compression.ts";

/** Bytes of a file's start, and of its end, that recognising its content needs. */
export const CONTENT_HEAD_BYTES = 512;
export const CONTENT_TAIL_BYTES = 8;

/** What of a file is looked at. */
export interface ContentSample {
  /** The first CONTENT_HEAD_BYTES of the content, fewer when it is shorter. */
  readonly head: Buffer;
  /** Its last CONTENT_TAIL_BYTES; undefined where they are not known. */
  readonly tail?: Buffer | undefined;
}

interface Signature {
  /** As it reads in "FILE is NAME, which sheaf does not read as text". */
  readonly name: string;
  /** What turns it into text, with FILE for the file; null: nothing does. */
  readonly command: string | null;
  /** Bytes at the start. "?" stands for any. */
  readonly magic: string;
  /** What must hold besides. */
  readonly also?: (sample: ContentSample) => boolean;
}

const piped = (command: string): string => `${command} < FILE`;
const ends =
  (text: string) =>
  ({ tail }: ContentSample): boolean =>
    tail?.toString("latin1").endsWith(text) === true;

/** Every kind of file that is known by its first bytes and is no lines of text; one row each. */
const SIGNATURES: readonly Signature[] = [
  { name: "xz data", magic: "\xfd7zXZ\0", command: piped("xz -d") },
  { name: "lzma data", magic: "\x5d\0\0", also: isLzma, command: piped("xz -d --format=lzma") },
  { name: "lzip data", magic: "LZIP\x01", command: piped("lzip -d") },
  { name: "lzop data", magic: "\x89LZO\0\r\n\x1a\n", command: piped("lzop -d") },
  { name: "lz4 data", magic: "\x04\x22\x4d\x18", command: piped("lz4 -d") },
  { name: "lz4 data", magic: "\x02\x21\x4c\x18", command: piped("lz4 -d") },
  { name: "snappy data", magic: "\xff\x06\0\0sNaPpY", command: piped("python3 -m snappy -d") },
  { name: "compress data (.Z)", magic: "\x1f\x9d", command: piped("gzip -d") },
  { name: "zstd data of a version before 0.8", magic: "?\xb5\x2f\xfd", also: isOldZstd, command: null },
  { name: "a zstd dictionary", magic: "\x37\xa4\x30\xec", command: null },
  { name: "a zip archive", magic: "PK\x03\x04", command: "unzip -p FILE" },
  { name: "an empty zip archive", magic: "PK\x05\x06", command: null },
  { name: "a part of a zip archive", magic: "PK\x07\x08", command: null },
  { name: "a 7z archive", magic: "7z\xbc\xaf\x27\x1c", command: "7z x -so FILE" },
  { name: "a rar archive", magic: "Rar!\x1a\x07", command: "unrar p -inul FILE" },
  { name: "a tar archive", magic: "", also: isTar, command: "tar -xOf FILE" },
  {
    name: "a parquet file",
    magic: "PAR1",
    also: ends("PAR1"),
    command: `duckdb -c "COPY (FROM 'FILE') TO '/dev/stdout' (FORMAT csv)"`,
  },
  { name: "an ORC file", magic: "ORC", also: isOrc, command: "orc-contents FILE" },
  { name: "an avro file", magic: "Obj\x01", command: "avro cat --format json FILE" },
  { name: "an arrow file", magic: "ARROW1\0\0", command: null },
  { name: "a feather file", magic: "FEA1", also: ends("FEA1"), command: null },
  { name: "a Hadoop sequence file", magic: "SEQ?", also: isSequenceFile, command: "hadoop fs -text FILE" },
  { name: "an RCFile", magic: "RCF\x01", command: null },
  { name: "an HDF5 file", magic: "\x89HDF\r\n\x1a\n", command: null },
  { name: "a NumPy file", magic: "\x93NUMPY", command: null },
  {
    name: "an SQLite database",
    magic: "SQLite format 3\0",
    command: `sqlite3 -csv FILE "SELECT * FROM the_table"`,
  },
  { name: "a PDF document", magic: "%PDF-", also: isPdf, command: "pdftotext FILE -" },
  { name: "an Office document of the old kind", magic: "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", command: null },
  { name: "a PNG image", magic: "\x89PNG\r\n\x1a\n", command: null },
  { name: "a JPEG image", magic: "\xff\xd8\xff", command: null },
  { name: "a program", magic: "\x7fELF", command: null },
  { name: "a Git LFS pointer, not the file itself", magic: "version https://git-lfs", command: null },
];

/** Without a magic number: told by the name, when the content is no text either. */
const BY_NAME: Readonly<Record<string, Pick<Signature, "name" | "command">>> = {
  br: { name: "brotli data, by its name", command: piped("brotli -d") },
  snappy: { name: "snappy data, by its name", command: piped("python3 -m snappy -d") },
  lzo: { name: "lzo data, by its name", command: piped("lzop -d") },
  zz: { name: "zlib data, by its name", command: piped("zlib-flate -uncompress") },
};

/**
 * Refuses content that is known to be no text, naming it and what turns it into text.
 * @param path the file as the user knows it
 * @param unpacked what it was compressed with, where the sample is of the decompressed content
 * @throws SheafError INPUT_UNREADABLE
 */
export function checkText(path: string, sample: ContentSample, unpacked?: string): void {
  const found = recognise(path, sample, unpacked);
  if (found === null) return;
  const { name, command } = found;
  const shown = path === "-" ? "standard input" : quotePath(path);
  const what = unpacked === undefined ? name : `${name} inside ${unpacked}`;
  throw new SheafError("INPUT_UNREADABLE", `${shown} is ${what}, which sheaf does not read as text`, {
    hint: hintOf(path, name, command, unpacked),
    details: { path },
  });
}

function hintOf(path: string, name: string, command: string | null, unpacked: string | undefined): string {
  const asBytes = 'For its bytes as they are give the reader { compression: "none", invalid: "bytes" }.';
  if (name.includes("LFS")) return "Fetch the file itself: git lfs pull.";
  if (name === webPage) {
    return (
      "Open it with a browser: a page to log in, perhaps, or one about the file. Give the address of the " +
      `file itself, or fetch it first. ${asBytes}`
    );
  }
  if (command === null) return `Turn it into text, csv or jsonl first. ${asBytes}`;
  const file = path === "-" ? "the-file" : shellWord(path);
  const steps = unpacked === undefined ? command.replace("FILE", file) : unpackAll(file, command, unpacked);
  return `Turn it into text first: ${steps} | sheaf run job.ts -`;
}

const UNPACK: Readonly<Record<string, string>> = { gzip: "gzip -dc", zstd: "zstd -dc", bzip2: "bzip2 -dc" };

/** Every command reads its standard input or, by a name, that. */
function unpackAll(file: string, command: string, unpacked: string): string {
  const rest = command.replace(" < FILE", "").replace("-xOf FILE", "-xO").replace("FILE", "/dev/stdin");
  return `${UNPACK[unpacked]} ${file} | ${rest}`;
}

function recognise(
  path: string,
  sample: ContentSample,
  unpacked: string | undefined,
): Pick<Signature, "name" | "command"> | null {
  for (const signature of SIGNATURES) {
    if (begins(sample.head, signature.magic) && signature.also?.(sample) !== false) return signature;
  }
  if (isWebPage(path, sample)) return { name: webPage, command: null };
  const again = unpacked === undefined ? "none" : detectCompression(sample.head);
  if (again !== "none") return { name: `${again} data`, command: UNPACK[again]! };
  const named = BY_NAME[path.slice(path.lastIndexOf(".") + 1).toLowerCase()];
  const isBinary = !isAscii(sample.head) && sample.head.some((byte) => byte < 9 || (byte > 13 && byte < 32));
  return unpacked === undefined && named !== undefined && isBinary ? named : null;
}

function begins(head: Buffer, magic: string): boolean {
  if (head.length < magic.length) return false;
  for (let i = 0; i < magic.length; i++) {
    if (magic[i] !== "?" && head[i] !== magic.charCodeAt(i)) return false;
  }
  return true;
}

/** A dictionary size that lzma writes, and the size of the content: unknown, or below 256 GiB. */
function isLzma({ head }: ContentSample): boolean {
  if (head.length < 13) return false;
  const dictionary = head.readUInt32LE(1);
  const size = head.readBigUInt64LE(5);
  return (dictionary & (dictionary - 1)) === 0 && (size === 0xffff_ffff_ffff_ffffn || size < 1n << 38n);
}

/** Last comes the length of the postscript, before it the end of the postscript. */
function isOrc({ head, tail }: ContentSample): boolean {
  if (head.length < 16 || tail === undefined || tail.at(-1) === 10) return false;
  return tail.toString("latin1", 0, tail.length - 1).endsWith("ORC");
}

function isOldZstd({ head }: ContentSample): boolean {
  return head[0]! >= 0x22 && head[0]! <= 0x27;
}

function isSequenceFile({ head }: ContentSample): boolean {
  return head[3]! <= 6;
}

function isPdf({ head }: ContentSample): boolean {
  return head[5]! >= 0x30 && head[5]! <= 0x39 && head[6] === 0x2e;
}

const webPage = "a web page, which its name does not say";

/** What servers send with status 200 in place of a file; pages that somebody collects have other names. */
function isWebPage(path: string, { head }: ContentSample): boolean {
  const isData = /\.(?:csv|tsv|tab|json|jsonl|ndjson)$/i;
  const isDataThere = /^https?:\/\/[^?#]*\.(?:csv|tsv|tab|json|jsonl|ndjson|txt|log)(?:[?#]|$)/i;
  if (!isData.test(path) && !isDataThere.test(path)) return false;
  return /^(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html)[\s>]/i.test(head.toString("latin1"));
}

/** The checksum of a tar header: the sum of its 512 bytes, those of the sum itself counted as spaces. */
function isTar({ head }: ContentSample): boolean {
  if (head.length < 512 || head[0] === 0) return false;
  const noted = /^[ 0]*([0-7]+)[\0 ]/.exec(head.toString("latin1", 148, 156));
  if (noted === null) return false;
  let sum = 8 * 32;
  for (let i = 0; i < 512; i++) if (i < 148 || i >= 156) sum += head[i]!;
  return sum === Number.parseInt(noted[1]!, 8);
}

function shellWord(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) && !path.startsWith("-") ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}

/**
 * Refuses a name that promises a compression which the content, not compressed at all, does not have.
 * @throws SheafError INPUT_CORRUPT
 */
export function checkPromise(path: string, bytes: number): void {
  const promised = promisedCompression(path);
  if (promised === undefined) return;
  const message =
    bytes === 0
      ? `${quotePath(path)} is empty: 0 bytes are no ${promised} file, not even one of no data`
      : `${quotePath(path)} does not hold ${promised} data, as its name says it should`;
  const fix = bytes === 0 ? "Fetch or write it again, or leave it out" : "Fetch it again, or rename it";
  throw new SheafError("INPUT_CORRUPT", message, {
    hint: `${fix}; the reader option { compression: "none" } takes the bytes as they are.`,
    details: { path },
  });
}
