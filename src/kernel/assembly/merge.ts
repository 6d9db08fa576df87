// k-way merge by a tournament of losers (Knuth, TAOCP vol. 3, 5.4.1).
//
//        tree[0]           the winner: the stream with the smallest head
//        tree[1]           the loser of the final
//    tree[2]  tree[3]      losers of the semi-finals ...
//   k..     ..     ..2k-1  stream s stands at leaf k + s; the parent of node i is i >> 1
//
// When the winner changes, only the games on the path from its leaf are played again. Equal keys: the
// lower stream wins, so the merge is stable. Streams that ended lose against all.
import {
  MERGE_BUILT, MERGE_COMBINE, MERGE_DETAIL, MERGE_GROUP_END, MERGE_GROUP_KEY, MERGE_GROUP_KEY_LEN,
  MERGE_GROUP_PREFIX, MERGE_GROUP_ROW, MERGE_K, MERGE_KEY_SKIP, MERGE_MODE, MERGE_OPS, MERGE_OPS_COUNT,
  MERGE_OUT_POSITION, MERGE_RECORDS, MERGE_STREAMS, MERGE_TREE, STATUS_DONE, STATUS_NEED, STATUS_OUT_FULL,
  STATUS_TOO_BIG, STREAM_BYTES, STREAM_CUR, STREAM_DRAINED, STREAM_EMPTY, STREAM_END, STREAM_ENDED,
  STREAM_HEAD, STREAM_KEY, STREAM_KEY_LEN, STREAM_PREFIX, STREAM_RECORD, STREAM_STATE, STREAM_VAL,
  STREAM_VAL_LEN,
} from "./layout";
import { compareBytes, copyBytes, equalBytes, keyPrefix } from "./bytes";
import { mergeRow } from "./rows";

export function mergeStart(m: usize): void {
  store<u32>(m, 0, MERGE_BUILT);
  store<u32>(m, 0, MERGE_DETAIL);
  store<u32>(m, 0, MERGE_GROUP_END);
}

/**
 * Merges into [out, outEnd), from MERGE_OUT_POSITION on, until a status other than "go on". See
 * ../kernels.ts.
 */
export function mergeRun(m: usize, out: usize, outEnd: usize): u32 {
  if (load<u32>(m, MERGE_BUILT) == 0) {
    const k = load<u32>(m, MERGE_K);
    for (let s: u32 = 0; s < k; s++) {
      if (!fill(m, streamAt(m, s))) return need(m, s);
    }
    build(m, k);
    store<u32>(m, 1, MERGE_BUILT);
  }
  return load<u32>(m, MERGE_MODE) == MERGE_COMBINE ? combine(m, out, outEnd) : copy(m, out, outEnd);
}

@inline
function streamAt(m: usize, s: u32): usize {
  return <usize>load<u32>(m, MERGE_STREAMS) + <usize>s * STREAM_BYTES;
}

@inline
function need(m: usize, s: u32): u32 {
  store<u32>(m, s, MERGE_DETAIL);
  return STATUS_NEED;
}

function full(m: usize, out: usize, size: u32): u32 {
  store<u32>(m, size, MERGE_DETAIL);
  return load<u32>(m, MERGE_OUT_POSITION) == <u32>out ? STATUS_TOO_BIG : STATUS_OUT_FULL;
}

/** Parses the next record of a stream without head. False: its window is empty and it has not ended. */
@inline
function fill(m: usize, s: usize): bool {
  const state = load<u32>(s, STREAM_STATE);
  if (state != STREAM_EMPTY) {
    if (state == STREAM_ENDED) {
      store<u32>(s, STREAM_DRAINED, STREAM_STATE);
      store<u64>(s, ~(<u64>0), STREAM_PREFIX);
    }
    return true;
  }
  let at: usize = load<u32>(s, STREAM_CUR);
  if (at >= <usize>load<u32>(s, STREAM_END)) return false;
  store<u32>(s, <u32>at, STREAM_RECORD);
  let keyLen: u32 = load<u8>(at++);
  if (keyLen >= 128) {
    keyLen &= 127;
    for (let shift: u32 = 7, byte: u32 = 128; byte >= 128; shift += 7) {
      byte = load<u8>(at++);
      keyLen |= (byte & 127) << shift;
    }
  }
  let valLen: u32 = load<u8>(at++);
  if (valLen >= 128) {
    valLen &= 127;
    for (let shift: u32 = 7, byte: u32 = 128; byte >= 128; shift += 7) {
      byte = load<u8>(at++);
      valLen |= (byte & 127) << shift;
    }
  }
  store<u32>(s, <u32>at, STREAM_KEY);
  store<u32>(s, keyLen, STREAM_KEY_LEN);
  store<u64>(s, keyPrefix(at, keyLen, load<u32>(m, MERGE_KEY_SKIP)), STREAM_PREFIX);
  at += keyLen;
  store<u32>(s, <u32>at, STREAM_VAL);
  store<u32>(s, valLen, STREAM_VAL_LEN);
  store<u32>(s, <u32>(at + valLen), STREAM_CUR);
  store<u32>(s, STREAM_HEAD, STREAM_STATE);
  return true;
}

/** Does the head of stream struct `a` come before the head of `b`? The structs' order settles ties. */
@inline
function before(a: usize, b: usize): bool {
  const aPrefix = load<u64>(a, STREAM_PREFIX);
  const bPrefix = load<u64>(b, STREAM_PREFIX);
  return aPrefix != bPrefix ? aPrefix < bPrefix : tieBefore(a, b);
}

/** Has the stream a head, or has it left for good? Else its games are to be played again. */
@inline
function inGames(s: usize): bool {
  const state = load<u32>(s, STREAM_STATE);
  return state == STREAM_HEAD || state == STREAM_DRAINED;
}

function tieBefore(a: usize, b: usize): bool {
  if (load<u32>(a, STREAM_STATE) == STREAM_DRAINED) return false;
  if (load<u32>(b, STREAM_STATE) == STREAM_DRAINED) return true;
  const order = compareBytes(
    load<u32>(a, STREAM_KEY), load<u32>(a, STREAM_KEY_LEN),
    load<u32>(b, STREAM_KEY), load<u32>(b, STREAM_KEY_LEN), 0,
  );
  return order != 0 ? order < 0 : a < b;
}

/** Plays all games. Until it is decided, tree[i] holds stream + 1 of the one waiting at node i, or 0. */
function build(m: usize, k: u32): void {
  const tree: usize = load<u32>(m, MERGE_TREE);
  memory.fill(tree, 0, <usize>k << 2);
  for (let s = k; s > 0; s--) {
    let winner = s - 1;
    let node = (k + winner) >> 1;
    let arrived = true;
    for (; node > 0; node >>= 1) {
      const waiting = load<u32>(tree + (<usize>node << 2));
      if (waiting == 0) {
        store<u32>(tree + (<usize>node << 2), winner + 1);
        arrived = false;
        break;
      }
      if (before(streamAt(m, waiting - 1), streamAt(m, winner))) {
        store<u32>(tree + (<usize>node << 2), winner + 1);
        winner = waiting - 1;
      }
    }
    if (arrived) store<u32>(tree, winner + 1);
  }
  for (let i: u32 = 0; i < k; i++) {
    const node = tree + (<usize>i << 2);
    store<u32>(node, load<u32>(node) - 1);
  }
}

/** Plays the games on the path from the winner's leaf again; returns the new winner. */
@inline
function replay(m: usize, k: u32, stream: u32): u32 {
  const tree: usize = load<u32>(m, MERGE_TREE);
  let winner = stream;
  let winnerAt = streamAt(m, winner);
  for (let node = (k + stream) >> 1; node > 0; node >>= 1) {
    const nodeAt = tree + (<usize>node << 2);
    const loser = load<u32>(nodeAt);
    const loserAt = streamAt(m, loser);
    if (before(loserAt, winnerAt)) {
      store<u32>(nodeAt, winner);
      winner = loser;
      winnerAt = loserAt;
    }
  }
  store<u32>(tree, winner);
  return winner;
}

/** The best of those who lost against the winner: all games it won lie on its path. 0 when k is 1. */
function runnerUp(m: usize, k: u32, stream: u32): usize {
  const tree: usize = load<u32>(m, MERGE_TREE);
  let best: usize = 0;
  for (let node = (k + stream) >> 1; node > 0; node >>= 1) {
    const at = streamAt(m, load<u32>(tree + (<usize>node << 2)));
    if (best == 0 || before(at, best)) best = at;
  }
  return best;
}

/**
 * A stream that keeps winning is compared with the runner-up alone, and its records leave in one piece:
 * returns the size of the run from `record` on that comes before the rival's head and fits into `room`.
 */
function gallop(m: usize, s: usize, rival: usize, record: usize, room: u32): u32 {
  let size = load<u32>(s, STREAM_CUR) - <u32>record;
  let records: u32 = 0;
  while (fill(m, s) && load<u32>(s, STREAM_STATE) == STREAM_HEAD && (rival == 0 || before(s, rival))) {
    const next = load<u32>(s, STREAM_CUR) - <u32>record;
    if (next > room) break;
    size = next;
    records++;
    store<u32>(s, STREAM_EMPTY, STREAM_STATE);
  }
  store<u32>(m, load<u32>(m, MERGE_RECORDS) + records, MERGE_RECORDS);
  return size;
}

function copy(m: usize, out: usize, outEnd: usize): u32 {
  const k = load<u32>(m, MERGE_K);
  let stream = load<u32>(<usize>load<u32>(m, MERGE_TREE));
  let wins: u32 = k == 1 ? 2 : 0;
  while (true) {
    const s = streamAt(m, stream);
    if (!inGames(s)) {
      if (!fill(m, s)) return need(m, stream);
      const winner = replay(m, k, stream);
      wins = winner == stream ? wins + 1 : 0;
      stream = winner;
      continue;
    }
    if (load<u32>(s, STREAM_STATE) == STREAM_DRAINED) return STATUS_DONE;
    const at: usize = load<u32>(m, MERGE_OUT_POSITION);
    const record: usize = load<u32>(s, STREAM_RECORD);
    let size = load<u32>(s, STREAM_CUR) - <u32>record;
    if (<u32>(outEnd - at) < size) return full(m, out, size);
    store<u32>(m, load<u32>(m, MERGE_RECORDS) + 1, MERGE_RECORDS);
    store<u32>(s, STREAM_EMPTY, STREAM_STATE);
    if (wins > 1) size = gallop(m, s, runnerUp(m, k, stream), record, <u32>(outEnd - at));
    copyBytes(at, record, size);
    store<u32>(m, <u32>at + size, MERGE_OUT_POSITION);
    if (load<u32>(s, STREAM_STATE) == STREAM_HEAD) {
      stream = replay(m, k, stream);
      wins = k == 1 ? 2 : 0;
    }
  }
}

/**
 * The open group's record lies at MERGE_OUT_POSITION up to MERGE_GROUP_END (0: no group is open) and its
 * row takes the states of the records of the same key. It counts as written when the next key comes.
 */
function combine(m: usize, out: usize, outEnd: usize): u32 {
  const k = load<u32>(m, MERGE_K);
  const ops: usize = load<u32>(m, MERGE_OPS);
  const opsCount = load<u32>(m, MERGE_OPS_COUNT);
  let stream = load<u32>(<usize>load<u32>(m, MERGE_TREE));
  while (true) {
    const s = streamAt(m, stream);
    if (!inGames(s)) {
      if (!fill(m, s)) return need(m, stream);
      stream = replay(m, k, stream);
      continue;
    }
    const ended = load<u32>(s, STREAM_STATE) == STREAM_DRAINED;
    if (load<u32>(m, MERGE_GROUP_END) != 0) {
      if (!ended && inGroup(m, s)) {
        mergeRow(load<u32>(m, MERGE_GROUP_ROW), load<u32>(s, STREAM_VAL), ops, opsCount);
        store<u32>(s, STREAM_EMPTY, STREAM_STATE);
        continue;
      }
      store<u32>(m, load<u32>(m, MERGE_GROUP_END), MERGE_OUT_POSITION);
      store<u32>(m, 0, MERGE_GROUP_END);
      store<u32>(m, load<u32>(m, MERGE_RECORDS) + 1, MERGE_RECORDS);
    }
    if (ended) return STATUS_DONE;
    const at: usize = load<u32>(m, MERGE_OUT_POSITION);
    const record: usize = load<u32>(s, STREAM_RECORD);
    const size = load<u32>(s, STREAM_CUR) - <u32>record;
    if (<u32>(outEnd - at) < size) return full(m, out, size);
    copyBytes(at, record, size);
    store<u32>(m, <u32>(at + <usize>(load<u32>(s, STREAM_KEY) - <u32>record)), MERGE_GROUP_KEY);
    store<u32>(m, load<u32>(s, STREAM_KEY_LEN), MERGE_GROUP_KEY_LEN);
    store<u32>(m, <u32>(at + <usize>(load<u32>(s, STREAM_VAL) - <u32>record)), MERGE_GROUP_ROW);
    store<u32>(m, <u32>at + size, MERGE_GROUP_END);
    store<u64>(m, load<u64>(s, STREAM_PREFIX), MERGE_GROUP_PREFIX);
    store<u32>(s, STREAM_EMPTY, STREAM_STATE);
  }
}

@inline
function inGroup(m: usize, s: usize): bool {
  const keyLen = load<u32>(s, STREAM_KEY_LEN);
  return (
    load<u64>(s, STREAM_PREFIX) == load<u64>(m, MERGE_GROUP_PREFIX) &&
    keyLen == load<u32>(m, MERGE_GROUP_KEY_LEN) &&
    equalBytes(load<u32>(s, STREAM_KEY), load<u32>(m, MERGE_GROUP_KEY), keyLen)
  );
}
