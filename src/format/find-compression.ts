import type { Reader } from "../job/reader.ts";
import type { Compression } from "../job/writer.ts";
import type { InputFile } from "../storage/list-input.ts";
import { openRange } from "../storage/read-range.ts";
import { detectCompression } from "./detect-compression.ts";
import { checkPromise, checkText, CONTENT_HEAD_BYTES, CONTENT_TAIL_BYTES } from "./foreign-content.ts";
import { checkLineEnds, checkNarrow, LINE_END_BYTES, lineEndUnseen } from "./text-form.ts";
import { checkFirstFrame } from "./zstd-frames.ts";

/** As PlannedFile.growing: with it the file may have grown since it was listed. */
type LookedInto = InputFile & { readonly growing?: number };

/**
 * What a file is compressed with, by its first bytes unless the reader says it.
 * @throws SheafError INPUT_CORRUPT when the name promises a compression that the content is not;
 * INPUT_UNREADABLE for a zstd frame that needs a dictionary, and for what is no text where text is read
 */
export async function findCompression(
  file: LookedInto,
  reader: Pick<Reader<unknown>, "compression" | "content">,
): Promise<Compression | "none"> {
  const wanted = reader.compression ?? "auto";
  if (wanted !== "auto") return wanted;
  const { head, tail } = await sampleOf(file);
  const found = detectCompression(head);
  if (found === "zstd") checkFirstFrame(file.name, head);
  if (found !== "none") return found;
  if (reader.content !== undefined) {
    checkText(file.name, { head, tail });
    checkNarrow(file.name, head);
  }
  if (reader.content === "lines" && lineEndUnseen(head)) {
    checkLineEnds(file.name, await headOf(file, LINE_END_BYTES));
  }
  checkPromise(file.name, file.bytes);
  return found;
}

async function headOf(file: LookedInto, bytes: number): Promise<Buffer> {
  const head = Buffer.alloc(Math.min(bytes, file.bytes));
  const range = await openRange({ ...file, fileBytes: file.bytes, start: 0, end: head.length });
  try {
    await range.read(head, 0);
    return head;
  } finally {
    await range.close();
  }
}

async function sampleOf(file: LookedInto): Promise<{ head: Buffer; tail: Buffer }> {
  const head = Buffer.alloc(Math.min(CONTENT_HEAD_BYTES, file.bytes));
  const range = await openRange({ ...file, fileBytes: file.bytes, start: 0, end: head.length });
  try {
    await range.read(head, 0);
    if (head.length === file.bytes) return { head, tail: head.subarray(-CONTENT_TAIL_BYTES) };
    const tail = Buffer.alloc(CONTENT_TAIL_BYTES);
    await range.read(tail, file.bytes - tail.length);
    return { head, tail };
  } finally {
    await range.close();
  }
}
