export async function* unzstd(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const _ of input) throw new Error("not yet");
}
