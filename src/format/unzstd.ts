import { boundedMemory } from "../base/bounded-memory.ts";
import { MiB } from "../base/size.ts";
import { ZstdFrames } from "./zstd-frames.ts";

/** No frame is shorter than this, so a piece of input cannot hold more frames (which may be empty). */
const FRAME_BYTES_MIN = 8;
/** The decoder needs less, for the largest window that is taken (limits.zstdWindowBytesMax). */
const memoryBytesMax = 256 * MiB;

/**
 * Decompresses a whole file, of any number of frames. Throws an Error that says what is wrong with it,
 * FrameNeeds where nothing is. Its input must be fresh buffers, which it may change. Always
 * by libzstd in WebAssembly: the zstd stream of Node 24 ends silently behind the first frame.
 */
export async function* unzstd(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const { ZSTDDecoder } = await import("zstddec/stream");
  const decoder = new ZSTDDecoder();
  await boundedMemory(memoryBytesMax, () => decoder.init());
  const frames = new ZstdFrames();
  const iterator = input[Symbol.asyncIterator]();
  const source = {
    next: async () => {
      const piece = await iterator.next();
      if (piece.done !== true) frames.scan(piece.value);
      return piece;
    },
  };
  // The decoder takes its input synchronously, at most one piece per step: so one piece is always held ready
  // for it.
  let ready = await source.next();
  let taken = false;
  let pieceBytes = 0;
  const pieces: Iterable<Uint8Array> = {
    [Symbol.iterator]: () => ({
      next: () => {
        if (ready.done === true) return { done: true, value: undefined };
        taken = true;
        pieceBytes = ready.value.length;
        return { done: false, value: ready.value };
      },
    }),
  };
  const output = decoder.decodeStreaming(pieces);
  let idleSteps = 0;
  for (;;) {
    const step = output.next();
    if (taken) {
      taken = false;
      idleSteps = 0;
      ready = await source.next();
    }
    if (step.done === true) return;
    // On damaged data the decoder stays where it is, for ever giving out nothing.
    if (step.value.length === 0 && ++idleSteps > pieceBytes / FRAME_BYTES_MIN + 2)
      throw new Error("it is damaged");
    if (step.value.length > 0) yield step.value;
  }
}
