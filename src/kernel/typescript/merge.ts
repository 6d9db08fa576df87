// k-way merge by linear search for the smallest head: the reference for the tournament in
// assembly/merge.ts.
import type { HeapViews } from "../kernels.ts";
import {
  MERGE_BUILT,
  MERGE_COMBINE,
  MERGE_DETAIL,
  MERGE_GROUP_END,
  MERGE_GROUP_KEY,
  MERGE_GROUP_KEY_LEN,
  MERGE_GROUP_ROW,
  MERGE_K,
  MERGE_MODE,
  MERGE_OPS,
  MERGE_OPS_COUNT,
  MERGE_OUT_POSITION,
  MERGE_RECORDS,
  MERGE_STREAMS,
  STATUS_DONE,
  STATUS_NEED,
  STATUS_OUT_FULL,
  STATUS_TOO_BIG,
  STREAM_BYTES,
  STREAM_CUR,
  STREAM_EMPTY,
  STREAM_END,
  STREAM_ENDED,
  STREAM_HEAD,
  STREAM_KEY,
  STREAM_KEY_LEN,
  STREAM_RECORD,
  STREAM_STATE,
  STREAM_VAL,
  STREAM_VAL_LEN,
} from "../layout.ts";
import { compareBytes, equalBytes, readVarint, varintSize } from "./bytes.ts";
import { mergeRow } from "./rows.ts";

export function mergeStart({ u32 }: HeapViews, merge: number): void {
  u32[(merge + MERGE_BUILT) >>> 2] = 0;
  u32[(merge + MERGE_DETAIL) >>> 2] = 0;
  u32[(merge + MERGE_GROUP_END) >>> 2] = 0;
}

export function mergeRun(heap: HeapViews, merge: number, out: number, outEnd: number): number {
  const { u8, u32 } = heap;
  const m = merge >>> 2;
  const k = u32[m + (MERGE_K >>> 2)]!;
  const combining = u32[m + (MERGE_MODE >>> 2)] === MERGE_COMBINE;
  for (;;) {
    for (let i = 0; i < k; i++) {
      if (fill(heap, streamAt(heap, merge, i))) continue;
      u32[m + (MERGE_DETAIL >>> 2)] = i;
      return STATUS_NEED;
    }
    const stream = smallest(heap, merge, k);
    const at = u32[m + (MERGE_OUT_POSITION >>> 2)]!;
    const groupEnd = u32[m + (MERGE_GROUP_END >>> 2)]!;
    if (groupEnd !== 0) {
      if (stream !== 0 && inGroup(heap, merge, stream)) {
        const row = u32[m + (MERGE_GROUP_ROW >>> 2)]!;
        const ops = u32[m + (MERGE_OPS >>> 2)]!;
        mergeRow(heap, row, u32[(stream + STREAM_VAL) >>> 2]!, ops, u32[m + (MERGE_OPS_COUNT >>> 2)]!);
        u32[(stream + STREAM_STATE) >>> 2] = STREAM_EMPTY;
      } else {
        u32[m + (MERGE_OUT_POSITION >>> 2)] = groupEnd;
        u32[m + (MERGE_GROUP_END >>> 2)] = 0;
        u32[m + (MERGE_RECORDS >>> 2)]! += 1;
      }
      continue;
    }
    if (stream === 0) return STATUS_DONE;
    const record = u32[(stream + STREAM_RECORD) >>> 2]!;
    const size = u32[(stream + STREAM_CUR) >>> 2]! - record;
    if (outEnd - at < size) {
      u32[m + (MERGE_DETAIL >>> 2)] = size;
      return at === out ? STATUS_TOO_BIG : STATUS_OUT_FULL;
    }
    u8.copyWithin(at, record, record + size);
    u32[(stream + STREAM_STATE) >>> 2] = STREAM_EMPTY;
    if (combining) {
      u32[m + (MERGE_GROUP_KEY >>> 2)] = at + u32[(stream + STREAM_KEY) >>> 2]! - record;
      u32[m + (MERGE_GROUP_KEY_LEN >>> 2)] = u32[(stream + STREAM_KEY_LEN) >>> 2]!;
      u32[m + (MERGE_GROUP_ROW >>> 2)] = at + u32[(stream + STREAM_VAL) >>> 2]! - record;
      u32[m + (MERGE_GROUP_END >>> 2)] = at + size;
    } else {
      u32[m + (MERGE_OUT_POSITION >>> 2)] = at + size;
      u32[m + (MERGE_RECORDS >>> 2)]! += 1;
    }
  }
}

function streamAt({ u32 }: HeapViews, merge: number, i: number): number {
  return u32[(merge + MERGE_STREAMS) >>> 2]! + i * STREAM_BYTES;
}

/** Parses the next record of a stream without head. False: its window is empty and it has not ended. */
function fill({ u8, u32 }: HeapViews, stream: number): boolean {
  const s = stream >>> 2;
  if (u32[s + (STREAM_STATE >>> 2)] !== STREAM_EMPTY) return true;
  let at = u32[s + (STREAM_CUR >>> 2)]!;
  if (at >= u32[s + (STREAM_END >>> 2)]!) return false;
  u32[s + (STREAM_RECORD >>> 2)] = at;
  const keyLen = readVarint(u8, at);
  at += varintSize(keyLen);
  const valLen = readVarint(u8, at);
  at += varintSize(valLen);
  u32[s + (STREAM_KEY >>> 2)] = at;
  u32[s + (STREAM_KEY_LEN >>> 2)] = keyLen;
  u32[s + (STREAM_VAL >>> 2)] = at + keyLen;
  u32[s + (STREAM_VAL_LEN >>> 2)] = valLen;
  u32[s + (STREAM_CUR >>> 2)] = at + keyLen + valLen;
  u32[s + (STREAM_STATE >>> 2)] = STREAM_HEAD;
  return true;
}

/** The stream with the smallest head, the first of equals; 0 when all have ended. */
function smallest(heap: HeapViews, merge: number, k: number): number {
  const { u8, u32 } = heap;
  let best = 0;
  for (let i = 0; i < k; i++) {
    const stream = streamAt(heap, merge, i);
    if (u32[(stream + STREAM_STATE) >>> 2] === STREAM_ENDED) continue;
    const key = u32[(stream + STREAM_KEY) >>> 2]!;
    const keyLen = u32[(stream + STREAM_KEY_LEN) >>> 2]!;
    const bestKey = u32[(best + STREAM_KEY) >>> 2]!;
    const bestLen = u32[(best + STREAM_KEY_LEN) >>> 2]!;
    if (best === 0 || compareBytes(u8, key, keyLen, bestKey, bestLen, 0) < 0) best = stream;
  }
  return best;
}

function inGroup({ u8, u32 }: HeapViews, merge: number, stream: number): boolean {
  const keyLen = u32[(stream + STREAM_KEY_LEN) >>> 2]!;
  if (keyLen !== u32[(merge + MERGE_GROUP_KEY_LEN) >>> 2]) return false;
  const groupKey = u32[(merge + MERGE_GROUP_KEY) >>> 2]!;
  return equalBytes(u8, u32[(stream + STREAM_KEY) >>> 2]!, groupKey, keyLen);
}
