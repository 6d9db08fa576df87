import { SheafError } from "../base/errors.ts";
import { DETECT_BYTES, detectCompression, promisedCompression } from "../format/detect-compression.ts";
import type { Reader } from "../job/reader.ts";
import type { Compression } from "../job/writer.ts";
import { quotePath } from "../storage/fs-error.ts";
import type { InputFile } from "../storage/list-input.ts";
import { openRange } from "../storage/read-range.ts";

/**
 * What a file is compressed with, by its first bytes unless the reader says it.
 * @throws SheafError INPUT_CORRUPT when the name promises a compression that the content is not
 */
export async function findCompression(
  file: InputFile,
  wanted: NonNullable<Reader<unknown>["compression"]>,
): Promise<Compression | "none"> {
  if (wanted !== "auto") return wanted;
  const head = Buffer.alloc(Math.min(DETECT_BYTES, file.bytes));
  const range = await openRange({ ...file, fileBytes: file.bytes });
  try {
    await range.read(head, 0);
  } finally {
    await range.close();
  }
  const found = detectCompression(head);
  const promised = promisedCompression(file.name);
  if (promised !== undefined && found === "none") {
    const what = file.bytes === 0 ? "is empty" : `does not hold ${promised} data`;
    throw new SheafError(
      "INPUT_CORRUPT",
      `input ${quotePath(file.name)} ${what}, as its name says it should`,
      {
        hint: 'Fetch it again, rename it, or give the reader { compression: "none" } for its bytes as they are.',
        details: { path: file.name },
      },
    );
  }
  return found;
}
