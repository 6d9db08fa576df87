import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { text } from "#src/format/text.js";
import { FrameNeeds, ZstdFrames } from "#src/format/zstd-frames.js";
import { planInput } from "#src/plan/plan-input.js";
import { file, pieces, read } from "./support.ts";

interface FrameShape {
  /** Exponent and mantissa of the window; null: a single segment. */
  readonly window: readonly [exponent: number, mantissa: number] | null;
  readonly sizeFlag: 0 | 1 | 2 | 3;
  readonly dictionary?: number;
  readonly blocks: readonly Buffer[];
}

/** A frame of raw blocks without a checksum (RFC 8878, section 3.1). */
function frame({ window, sizeFlag, dictionary = 0, blocks }: FrameShape): Buffer {
  const content = blocks.reduce((sum, block) => sum + block.length, 0);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(sizeFlag === 1 ? content - 256 : content));
  const sizeBytes = [window === null ? 1 : 0, 2, 4, 8][sizeFlag]!;
  const descriptor = (sizeFlag << 6) | (window === null ? 0x20 : 0) | (dictionary === 0 ? 0 : 3);
  const id = Buffer.alloc(dictionary === 0 ? 0 : 4);
  if (dictionary !== 0) id.writeUInt32LE(dictionary);
  const body = blocks.map((block, i) => {
    const header = Buffer.alloc(3);
    header.writeUIntLE((block.length << 3) | (i === blocks.length - 1 ? 1 : 0), 0, 3);
    return Buffer.concat([header, block]);
  });
  const windowByte = window === null ? [] : [((window[0] - 10) << 3) | window[1]];
  return Buffer.concat([
    Buffer.from([0x28, 0xb5, 0x2f, 0xfd, descriptor, ...windowByte]),
    id,
    size.subarray(0, sizeBytes),
    ...body,
  ]);
}

function skippable(content: Buffer, nibble = 0): Buffer {
  const head = Buffer.from([0x50 + nibble, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]);
  head.writeUInt32LE(content.length, 4);
  return Buffer.concat([head, content]);
}

const LINES = (n: number): Buffer => Buffer.from(Array.from({ length: n }, (_, i) => `line ${i}\n`).join(""));
const decoded = async (path: string): Promise<string> =>
  (await read(text(), await pieces(path, text(), 1_000_000))).records.map((line) => `${line}\n`).join("");

test("windows up to 2 TiB, skippable and empty frames are read as long as the content fits", async (t) => {
  const content = LINES(5000);
  for (const window of [[17, 0], [27, 0], [27, 1], [28, 0], [31, 0], [41, 7], null] as const) {
    const one = frame({
      window,
      sizeFlag: 2,
      blocks: [content.subarray(0, 20_000), content.subarray(20_000)],
    });
    const two = Buffer.concat([
      skippable(Buffer.alloc(100, 7), 5),
      one,
      frame({ window, sizeFlag: 3, blocks: [Buffer.alloc(0)] }),
      skippable(Buffer.alloc(0)),
      one,
    ]);
    assert.equal(await decoded(file(t, two)), `${content}${content}`, `window ${window}`);
  }
});

test("a file of nothing but a skippable frame is empty; bytes behind the last frame are damage", async (t) => {
  assert.equal(await decoded(file(t, skippable(Buffer.alloc(40), 14))), "");
  const one = frame({ window: [20, 0], sizeFlag: 2, blocks: [LINES(3)] });
  for (const behind of ["y", "yyy", "yyyyyyyy", "\0\0\0\0"]) {
    await assert.rejects(decoded(file(t, Buffer.concat([one, Buffer.from(behind)]))), {
      code: "INPUT_CORRUPT",
    });
  }
});

test("frames with a dictionary, or a window that cannot be met, say what they need", async (t) => {
  const content = LINES(10);
  const withDictionary = frame({ window: null, sizeFlag: 2, dictionary: 77_000, blocks: [content] });
  const plan = planInput([{ input: text(), paths: [file(t, withDictionary)] }], { workers: 1 });
  await assert.rejects(plan, { code: "INPUT_UNREADABLE", message: /at byte 0 needs dictionary 77000/ });
  const later = Buffer.concat([frame({ window: [20, 0], sizeFlag: 2, blocks: [content] }), withDictionary]);
  const at = later.length - withDictionary.length;
  await assert.rejects(decoded(file(t, later)), {
    code: "INPUT_UNREADABLE",
    message: new RegExp(`at byte ${at} needs dictionary 77000`),
  });
  // One segment of 3 GiB, by what its header says.
  const large = frame({ window: null, sizeFlag: 3, blocks: [content] });
  large.writeBigUInt64LE(3n * 1024n ** 3n, 5);
  await assert.rejects(planInput([{ input: text(), paths: [file(t, large)] }], { workers: 1 }), {
    code: "INPUT_UNREADABLE",
    message: /needs a window of 3 GiB, sheaf reads up to 128 MiB/,
  });
});

test("a frame of more content than a window that was made smaller is refused, not decoded wrong", () => {
  const block = Buffer.concat([Buffer.from([0, 0, 0x10]), Buffer.alloc(128 * 1024)]);
  const head = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3]);
  const frames = new ZstdFrames();
  const first = Uint8Array.from(head);
  frames.scan(first);
  assert.equal(first[5], 17 << 3);
  for (let i = 0; i < 1024; i++) frames.scan(block);
  assert.throws(() => frames.scan(block), FrameNeeds);
  const modest = new ZstdFrames();
  modest.scan(Uint8Array.of(...head.subarray(0, 5), 17 << 3));
  for (let i = 0; i < 2000; i++) modest.scan(block);
});

test("how the bytes are cut makes no difference, and other bytes are never changed", () => {
  const blocks = fc.array(fc.uint8Array({ maxLength: 20 }), { minLength: 1, maxLength: 4 });
  const shape = fc.record({
    window: fc.option(fc.tuple(fc.integer({ min: 10, max: 41 }), fc.integer({ min: 0, max: 7 })), {
      nil: null,
    }),
    sizeFlag: fc.constantFrom<0 | 2 | 3>(0, 2, 3),
    blocks,
  });
  fc.assert(
    fc.property(
      fc.array(shape, { minLength: 1, maxLength: 4 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 9 })),
      (shapes, cuts) => {
        const expected: Buffer[] = [];
        const given = shapes.map(({ window, sizeFlag, blocks: some }) => {
          const made = { sizeFlag, blocks: some.map((one) => Buffer.from(one)) };
          const isLarge = window !== null && (window[0] > 27 || (window[0] === 27 && window[1] > 0));
          expected.push(frame({ ...made, window: isLarge ? [27, 0] : window }));
          return frame({ ...made, window });
        });
        const bytes = Buffer.concat(given);
        const frames = new ZstdFrames();
        for (let at = 0; at < bytes.length;) {
          const step = cuts.next().value ?? 1;
          frames.scan(bytes.subarray(at, at + step));
          at += step;
        }
        assert.deepEqual(bytes, Buffer.concat(expected));
      },
    ),
  );
});
