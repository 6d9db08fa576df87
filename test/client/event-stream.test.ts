import assert from "node:assert/strict";
import { test } from "node:test";
import { streamMessages } from "#src/client/event-stream.js";

async function messages(text: string, bytesAtOnce: number): Promise<[string, string][]> {
  const bytes = Buffer.from(text);
  async function* body(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += bytesAtOnce) yield bytes.subarray(at, at + bytesAtOnce);
  }
  const found: [string, string][] = [];
  for await (const { id, data } of streamMessages(body())) found.push([id, data]);
  return found;
}

test("messages of an event stream are the same however it is cut; the last id holds, what is cut off does not", async () => {
  const text =
    ': a comment\r\nid: 1\r\ndata: {"a":"é日"}\r\n\r\ndata:two\rdata:  lines\r\rid: 3\nevent: x\nretry: 5\ndata\n\nnothing: x\n\nid: 4\ndata: cut';
  for (const bytesAtOnce of [1, 2, 3, 7, 1_000]) {
    assert.deepEqual(await messages(text, bytesAtOnce), [
      ["1", '{"a":"é日"}'],
      ["1", "two\n lines"],
      ["3", ""],
    ]);
  }
});
