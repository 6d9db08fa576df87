import { SheafError } from "../base/errors.ts";
import { formatSize } from "../base/size.ts";
import { quotePath } from "../storage/fs-error.ts";

export function recordTooLarge(path: string, offset: number, recordBytesMax: number): SheafError {
  return new SheafError(
    "RECORD_TOO_LARGE",
    `${quotePath(path)}:${offset}: the record is longer than ${formatSize(recordBytesMax)}`,
    {
      hint: "Raise recordBytesMax of the reader, or check that this is the right reader for the file.",
      details: { path, offset, recordBytesMax },
    },
  );
}
