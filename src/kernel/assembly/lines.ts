// appendLines: see ../kernels.ts.
import {
  ARENA_COUNT, ARENA_END, ARENA_TOP, CELL_HASH, CELL_HEADER, CELL_KEY_LEN, CELL_PARTITION, CELL_VAL_LEN,
  CTL_DETAIL, CTL_POSITION, CTL_RECORDS, FLAG_FINAL, FLAG_HASH, FLAG_VALIDATE, KEY_TAG_STRING, STATUS_DONE,
  STATUS_FULL, STATUS_INVALID,
} from "./layout";
import { copyBytes } from "./bytes";
import { hashKey } from "./hash";
import { firstInvalid } from "./utf8";

export function appendLines(arena: usize, ctl: usize, ptr: usize, end: usize, flags: u32): u32 {
  const arenaEnd: usize = load<u32>(arena, ARENA_END);
  let top: usize = load<u32>(arena, ARENA_TOP);
  let count: u32 = 0;
  let line = ptr;
  let status = STATUS_DONE;
  while (line < end) {
    const newline = findNewline(line, end);
    if (newline == end && (flags & FLAG_FINAL) == 0) break;
    const cr = newline < end && newline > line && load<u8>(newline - 1) == 13;
    const len = <u32>(newline - line - <usize>cr);
    if ((flags & FLAG_VALIDATE) != 0) {
      const invalid = firstInvalid(line, line + len);
      if (invalid != line + len) {
        store<u32>(ctl, <u32>invalid, CTL_DETAIL);
        status = STATUS_INVALID;
        break;
      }
    }
    const size = (CELL_HEADER + 1 + len + 7) & ~7;
    if (arenaEnd - top < size) {
      status = STATUS_FULL;
      break;
    }
    store<u64>(top + size - 8, 0);
    store<u32>(top, 0, CELL_PARTITION);
    store<u32>(top, len + 1, CELL_KEY_LEN);
    store<u32>(top, 0, CELL_VAL_LEN);
    store<u8>(top, KEY_TAG_STRING, CELL_HEADER);
    copyBytes(top + CELL_HEADER + 1, line, len);
    store<u32>(top, (flags & FLAG_HASH) != 0 ? hashKey(top + CELL_HEADER, len + 1) : 0, CELL_HASH);
    top += size;
    count++;
    line = newline < end ? newline + 1 : end;
  }
  store<u32>(arena, <u32>top, ARENA_TOP);
  store<u32>(arena, load<u32>(arena, ARENA_COUNT) + count, ARENA_COUNT);
  store<u32>(ctl, <u32>line, CTL_POSITION);
  store<u32>(ctl, load<u32>(ctl, CTL_RECORDS) + count, CTL_RECORDS);
  return status;
}

@inline
function findNewline(at: usize, end: usize): usize {
  while (at < end) {
    const found = <u32>i8x16.bitmask(i8x16.eq(v128.load(at), i8x16.splat(10)));
    if (found != 0) {
      at += ctz(found);
      break;
    }
    at += 16;
  }
  return at < end ? at : end;
}
