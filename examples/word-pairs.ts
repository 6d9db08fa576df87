// Which words belong together: pointwise mutual information, in two steps. The first job counts in how many
// lines each word stands; the second counts pairs of words of one line, and compares with what chance would
// give.
//
//   node word-pairs.ts 'books/*.txt'    # Node 22.18 or newer; compile it first for an older one
//
// PMI of a pair = log2(P(both) / (P(one) P(other))), P(x) = lines with x / all lines (Church and Hanks, "Word
// Association Norms, Mutual Information, and Lexicography", 1990). Rare words are left out: theirs is chance.
// Job objects that are not a file's default export run on this thread; for large inputs give each job a file
// of its own and run() its path, or use `sheaf run`.
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { count, job, run, text } from "sheaf";
import type { ReduceContext } from "sheaf";

const wordsOf = (line: string): string[] => [...new Set(line.toLowerCase().match(/\p{L}+/gu))].sort();

const words = job({
  input: text(),
  map(line, emit, ctx) {
    ctx.count("lines");
    for (const word of wordsOf(line)) emit(word);
  },
  reduce: count(),
});

type Counted = {
  readonly lines: number;
  readonly linesOf: Readonly<Record<string, number>>;
  /** Lines that a pair must have in common. */
  readonly least: number;
};

const pairs = job({
  params: { lines: 0, linesOf: {}, least: 0 } as Counted,
  input: text(),
  map(line, emit, { params }) {
    const known = wordsOf(line).filter((word) => Object.hasOwn(params.linesOf, word));
    for (const [index, one] of known.entries())
      for (const other of known.slice(index + 1)) emit([one, other], 1);
  },
  combine: (_pair, counts) => sumOf(counts),
  reduce([one = "", other = ""]: readonly string[], counts: Iterable<number>, ctx: ReduceContext<Counted>) {
    const { params } = ctx;
    const both = sumOf(counts);
    if (both < params.least) return undefined;
    return Math.log2((both * params.lines) / (params.linesOf[one]! * params.linesOf[other]!));
  },
});

function sumOf(counts: Iterable<number>): number {
  let sum = 0;
  for (const one of counts) sum += one;
  return sum;
}

/** Pairs of words with their PMI, highest first. @param least lines that a pair must have in common */
export async function wordPairs(inputs: string, least = 10): Promise<(readonly [string, string, number])[]> {
  const counted = await run(words, { inputs, stateDirectory: null });
  const linesOf: Record<string, number> = {};
  for await (const [word, lines] of counted.records())
    if (Number(lines) >= least) linesOf[String(word)] = Number(lines);
  const params: Counted = { lines: counted.counters["lines"] ?? 0, linesOf, least };
  await counted.dispose();
  const compared = await run(pairs, { inputs, params, stateDirectory: null });
  const found: (readonly [string, string, number])[] = [];
  for await (const [pair, pmi] of compared.records()) {
    const [one, other] = pair as [string, string];
    found.push([one, other, Number(pmi)]);
  }
  await compared.dispose();
  return found.sort((a, b) => b[2] - a[2]);
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  for (const [one, other, pmi] of (await wordPairs(process.argv[2] ?? "*.txt")).slice(0, 20))
    console.log(`${pmi.toFixed(2)}\t${one} ${other}`);
}
