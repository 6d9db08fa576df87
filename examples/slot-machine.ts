// A slot machine played a million times: there is no input file, every map task plays its share of the spins
// and maps them where they are made. The results are nested: what was staked and won in the base game, and
// within that what the free spins gave.
//
//   sheaf run slot-machine.ts -o machine --set spins=1000000
//
// Each spin draws from a generator seeded by the job's seed and the task: the same result on any machine, in
// any attempt.
import { count, generate, job, jsonl, max, stats, sum } from "sheaf";

interface Spin {
  readonly stake: number;
  readonly win: number;
  readonly freeSpins: readonly number[];
}

const REELS = [
  "cherry",
  "cherry",
  "cherry",
  "cherry",
  "bell",
  "bell",
  "bell",
  "seven",
  "seven",
  "star",
] as const;
const PAYS: Readonly<Record<string, number>> = { cherry: 2, bell: 8, seven: 30, star: 50 };

function spinReels(random: () => number): string | undefined {
  const draw = (): string => REELS[Math.floor(random() * REELS.length)]!;
  const [first, second, third] = [draw(), draw(), draw()];
  return first === second && second === third ? first : undefined;
}

function play(random: () => number): Spin {
  const symbol = spinReels(random);
  const freeSpins: number[] = [];
  if (symbol === "star") {
    for (let i = 0; i < 10; i++) freeSpins.push(PAYS[spinReels(random) ?? ""] ?? 0);
  }
  return { stake: 1, win: PAYS[symbol ?? ""] ?? 0, freeSpins };
}

export default job({
  params: { spins: 1_000_000 },
  input: generate({
    tasks: 8,
    *records(ctx) {
      const spins = Number(ctx.params["spins"]);
      const first = Math.floor((spins * ctx.index) / ctx.tasks);
      const end = Math.floor((spins * (ctx.index + 1)) / ctx.tasks);
      for (let spin = first; spin < end; spin++) yield play(() => ctx.random());
    },
  }),
  map(spin, emit) {
    const free = spin.freeSpins.reduce((a, b) => a + b, 0);
    emit("machine", {
      stake: spin.stake,
      win: {
        base: { total: spin.win, largest: spin.win },
        free: { total: free, spins: spin.freeSpins.length },
      },
    });
  },
  reduce: stats({
    plays: count(),
    stake: sum(),
    win: stats({
      base: stats({ total: sum(), largest: max() }),
      free: stats({ total: sum(), spins: sum() }),
    }),
  }),
  output: jsonl(),
});
