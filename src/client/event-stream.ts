import { createParser } from "eventsource-parser";
import { SheafError } from "../base/errors.ts";

/** One message of a text/event-stream. */
export interface StreamMessage {
  /** As the last `id:` line said, "" before any. */
  readonly id: string;
  /** The `data:` lines, joined by newlines. */
  readonly data: string;
}

const messageCharsMax = 64 * 1024 * 1024;

/**
 * Parses a text/event-stream as the HTML standard has it (section 9.2.6; `event:` and `retry:` are not used
 * here). A message that was cut off is dropped: its sender sends it again to who asks from its id on.
 * @throws SheafError LIMIT_EXCEEDED when a message is longer than 64 Mi characters
 */
export async function* streamMessages(body: AsyncIterable<Uint8Array>): AsyncGenerator<StreamMessage> {
  const decoder = new TextDecoder();
  let id = "";
  let ready: StreamMessage[] = [];
  let isTooLong = false;
  const parser = createParser({
    maxBufferSize: messageCharsMax,
    onEvent: (event) => {
      id = event.id ?? id;
      ready.push({ id, data: event.data });
    },
    // Fields that it does not know are left out, as the standard wants it.
    onError: ({ type }) => (isTooLong ||= type === "max-buffer-size-exceeded"),
  });
  for await (const chunk of body) {
    parser.feed(decoder.decode(chunk, { stream: true }));
    yield* ready;
    ready = [];
    if (isTooLong) {
      const message = `a message of the event stream is longer than ${messageCharsMax} characters`;
      throw new SheafError("LIMIT_EXCEEDED", message, {
        hint: "Check that the URL is that of a sheaf coordinator.",
      });
    }
  }
}
