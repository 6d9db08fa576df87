import { SheafError } from "../base/errors.ts";

/** One message of a text/event-stream. */
export interface StreamMessage {
  /** As the last `id:` line said, "" before any. */
  readonly id: string;
  /** The `data:` lines, joined by newlines. */
  readonly data: string;
}

const lineBytesMax = 64 * 1024 * 1024;

/**
 * Parses a text/event-stream as the HTML standard has it (section 9.2.6; `event:` and `retry:` are not used
 * here). A message that was cut off is dropped: its sender sends it again to who asks from its id on.
 * @throws SheafError LIMIT_EXCEEDED when a line is longer than 64 MiB
 */
export async function* streamMessages(body: AsyncIterable<Uint8Array>): AsyncGenerator<StreamMessage> {
  let id = "";
  let data: string[] = [];
  for await (const line of lines(body)) {
    if (line === "") {
      if (data.length > 0) yield { id, data: data.join("\n") };
      data = [];
      continue;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (field === "data") data.push(value);
    else if (field === "id" && !value.includes("\0")) id = value;
  }
}

/** Lines end with CRLF, LF or CR; the last one only counts when it is ended. */
async function* lines(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true });
    // A CR at the end may be half of a CRLF: it waits for what comes behind it.
    const whole = rest.endsWith("\r") ? rest.length - 1 : rest.length;
    let from = 0;
    for (const { 0: ending, index } of rest.slice(0, whole).matchAll(/\r\n|\n|\r/g)) {
      yield rest.slice(from, index);
      from = index + ending.length;
    }
    rest = rest.slice(from);
    if (rest.length > lineBytesMax) {
      throw new SheafError(
        "LIMIT_EXCEEDED",
        `a line of the event stream is longer than ${lineBytesMax} bytes`,
        { hint: "Check that the URL is that of a sheaf coordinator." },
      );
    }
  }
}
