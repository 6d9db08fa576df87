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
  let a = s | 0;
  let b = Math.floor(s / 0x1_0000_0000) | 0;
  let c = 0x9e3779b9 | 0;
  let d = 1;
  const step = (): number => {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + t | 0;
    return t >>> 0;
  };
  for (let i = 0; i < 15; i++) step();
  return {
    next: () => step() / 0x1_0000_0000,
    below: (bound) => Math.floor((step() / 0x1_0000_0000) * bound),
  };
}
