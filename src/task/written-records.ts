import { statSync } from "node:fs";
import { SheafError } from "../base/errors.ts";
import { LineDecoder } from "../format/line-decoder.ts";
import { readPiece } from "../format/read-split.ts";
import { lineFraming } from "../format/text-reader.ts";
import type { Decoder, Reader, RecordBatch } from "../job/reader.ts";
import type { PlannedFile } from "../storage/read-range.ts";
import { storedAt } from "../storage/stored-files.ts";
import { isStored } from "../storage/stores.ts";

/** One record of an output file as it stands there, without its line end. */
export interface WrittenRecord {
  readonly text: string;
  /** True for a line of the header. */
  readonly isHeader: boolean;
}

/**
 * The records of a committed output file, at a path or an address, as texts, unpacked: lines; in csv a
 * record's quoted newlines are part of it. `headerBytes` is how long the file's header is.
 * @throws SheafError INPUT_MISSING, INPUT_UNREADABLE, INPUT_CORRUPT
 */
export async function* writtenRecords(path: string, headerBytes: number): AsyncGenerator<WrittenRecord> {
  const { fileBytes: size, mtimeMs, version } = await fileAt(path);
  const packed = path.endsWith(".gz") ? "gzip" : path.endsWith(".zst") ? "zstd" : "none";
  const name = packed === "none" ? path : path.slice(0, path.lastIndexOf("."));
  const reader = name.endsWith(".csv") ? CSV_RECORDS : TEXT_LINES;
  const range = { start: 0, end: size, fileBytes: size, mtimeMs, compression: packed } as const;
  const place = { ...range, ...(version !== undefined && { version }) };
  const batches = await readPiece(reader, { path, name: path, ...place });
  try {
    for (let batch = await batches.next(); batch !== null; batch = await batches.next()) {
      for (const [i, text] of batch.records.entries())
        yield { text, isHeader: batch.offsets[i]! < headerBytes };
    }
  } finally {
    await batches.close();
  }
}

async function fileAt(path: string): Promise<Pick<PlannedFile, "fileBytes" | "mtimeMs" | "version">> {
  if (!isStored(path)) {
    const { size: fileBytes, mtimeMs } = statSync(path);
    return { fileBytes, mtimeMs };
  }
  const file = await storedAt(path);
  if (file !== null) return file;
  throw new SheafError("INPUT_MISSING", `${path} is not there any more`, {
    hint: "Something else has replaced the output, or removed it.",
    details: { path },
  });
}

const TEXT_LINES: Reader<string> = {
  kind: "lines",
  framing: lineFraming("\n"),
  decoder: (context) => new LineDecoder(context, "replace", "\n"),
};

const CSV_RECORDS: Reader<string> = {
  kind: "csv records",
  framing: { kind: "quoted", quote: 0x22 },
  decoder: () => new CsvRecordDecoder(),
};

class CsvRecordDecoder implements Decoder<string> {
  decode(bytes: Uint8Array, offset: number, _last: boolean, batch: RecordBatch<string>): void {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
    let at = offset;
    for (let start = 0; start < text.length;) {
      const end = recordEnd(text, start);
      const record = text.slice(start, end);
      batch.records.push(record);
      batch.offsets.push(at);
      at += Buffer.byteLength(record) + 1;
      start = end + 1;
    }
  }
}

/** The first newline outside quotes, as the csv writer sets them; the text's length without one. */
function recordEnd(text: string, start: number): number {
  let inside = false;
  for (let at = start; at < text.length; at++) {
    const character = text[at];
    if (character === '"') inside = !inside;
    else if (character === "\n" && !inside) return at;
  }
  return text.length;
}
