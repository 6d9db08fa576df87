// The volume test of a game, from spins to an answer. Map tasks play until it is known well enough what the
// game pays back: each spin is mapped where it is made, the results are nested, and the spins are kept. Then
// a question is asked of them in two steps: of the player with the largest win of 2016, which was the
// smallest in 2013?
//
//   node volume-test.ts                # Node 22.18 or newer; shows what is known so far, then the answer
//   node volume-test.ts results quiet  # as files in results/, without a word
//   sheaf run volume-test.ts --live    # the game alone
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { argMax, argMin, confidence, count, generate, job, jsonl, max, run, stats, sum } from "sheaf";

export interface Spin {
  readonly player: number;
  readonly year: number;
  readonly stake: number;
  readonly win: number;
  readonly freeWin: number;
}

const PLAYERS = 20;

function play(random: () => number): Spin {
  const player = Math.floor(random() * PLAYERS);
  const year = 2012 + Math.floor(random() * 6);
  const luck = random();
  const win = luck < 0.001 ? Math.ceil(random() * 200) : luck < 0.1 ? Math.ceil(random() * 14) : 0;
  return { player, year, stake: 1, win, freeWin: luck > 0.99 ? Math.ceil(random() * 9) : 0 };
}

const machine = job({
  input: generate({
    tasks: 4,
    *records({ random }) {
      for (;;) yield play(random);
    },
    until: ({ game }, { records }) => records >= 10_000 && game.rtp.ci95 < 0.05,
  }),
  map({ stake, win, freeWin }, emit) {
    const base = { total: win, largest: win };
    emit("game", {
      stake,
      rtp: (win + freeWin) / stake,
      win: { base, free: { total: freeWin, largest: freeWin } },
    });
  },
  reduce: stats({
    plays: count(),
    stake: sum(),
    rtp: confidence(),
    win: stats({
      base: stats({ total: sum(), largest: max() }),
      free: stats({ total: sum(), largest: max() }),
    }),
  }),
  output: jsonl(),
});
export default machine;

const best = job({
  params: { year: 2016 },
  input: jsonl<Spin>(),
  map(spin, emit, { params }) {
    if (spin.year === params.year) emit("best", spin);
  },
  reduce: argMax<Spin>({ by: ({ win, freeWin }) => win + freeWin }),
});

const worst = job({
  params: { year: 2013, player: 0 },
  input: jsonl<Spin>(),
  map(spin, emit, { params }) {
    if (spin.year === params.year && spin.player === params.player && spin.win > 0) emit("worst", spin);
  },
  reduce: argMin<Spin>({ by: ({ win }) => win }),
});

export interface VolumeTest {
  /** Map tasks that the game wants, and workers that it got. */
  readonly wanted: number;
  readonly used: number;
  readonly spins: number;
  /** Records of each task: with them the same spins are played again. */
  readonly made: readonly number[];
  readonly smallest: Spin | undefined;
}

/** Plays, keeps the spins in `directory`/spins and the results in `directory`/game, and asks the question. */
export async function volumeTest(
  directory: string,
  { workers, made, say }: { workers?: number; made?: readonly number[]; say?: (text: string) => void },
): Promise<VolumeTest> {
  const spins = resolve(directory, "spins");
  const going = run(machine, {
    file: import.meta.url,
    output: resolve(directory, "game"),
    materialize: spins,
    stateDirectory: null,
    ...(workers !== undefined && { workers }),
    ...(made !== undefined && { made }),
  });
  if (say !== undefined) {
    for await (const { records, collections } of going.partials())
      say(`${records} spins: ${JSON.stringify(collections[0]?.top[0]?.value)}`);
  }
  const played = await going;
  const winner = await onlyResult(best, spins, {});
  const smallest = winner && (await onlyResult(worst, spins, { player: winner.player }));
  return {
    wanted: played.mapTasks,
    used: played.workers,
    spins: played.made?.records ?? 0,
    made: played.made?.tasks ?? [],
    smallest,
  };
}

async function onlyResult(
  step: typeof best | typeof worst,
  inputs: string,
  params: Readonly<Record<string, number>>,
): Promise<Spin | undefined> {
  const result = await run(step, { inputs, params, stateDirectory: null });
  try {
    for await (const [, spin] of result.records()) return spin as Spin;
    return undefined;
  } finally {
    await result.dispose();
  }
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [directory = "volume-test", quiet] = process.argv.slice(2);
  const test = await volumeTest(directory, quiet === "quiet" ? {} : { say: (text) => console.log(text) });
  if (quiet !== "quiet") console.log(test);
}
