/** A seeded generator: the same seed gives the same numbers on every machine and Node version. */
export interface Random {
  /** Uniform in [0, 1), 32 bits of randomness. */
  next(): number;
  /** Uniform integer in [0, bound). */
  below(bound: number): number;
}

/** 32-bit FNV-1a of the text's UTF-16 units; used to make seeds out of names. */
export function hashText(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

/** sfc32 (Chris Doty-Humphrey's PractRand family), seeded by a number or a text. */
export function seededRandom(seed: number | string): Random {
  const s = typeof seed === "string" ? hashText(seed) : seed;
  // In a typed array, not in four variables: those would be boxed at every step, which costs five times as
  // much.
  const state = Int32Array.of(s, Math.floor(s / 0x1_0000_0000), 0x9e3779b9, 1);
  const step = (): number => {
    const b = state[1]!;
    const c = state[2]!;
    const d = state[3]!;
    const t = (state[0]! + b + d) | 0;
    state[0] = b ^ (b >>> 9);
    state[1] = c + (c << 3);
    state[2] = ((c << 21) | (c >>> 11)) + t;
    state[3] = d + 1;
    return t >>> 0;
  };
  for (let i = 0; i < 15; i++) step();
  return {
    next: () => step() / 0x1_0000_0000,
    below: (bound) => Math.floor((step() / 0x1_0000_0000) * bound),
  };
}
