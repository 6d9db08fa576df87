import { parseArgs } from "node:util";
import { MiB } from "#src/base/size.js";
import { runChaos } from "./chaos.js";
import type { ChaosReport } from "./chaos.js";

const HELP = `Runs good jobs on a real cluster of this machine (coordinator, three agents), each beside a
hostile one, while faults come, and checks after each pair that the good one is right, that the hostile
one has failed, and that nothing is lost, doubled or left behind.

  npm run chaos                           for 90 seconds, with a seed of the moment
  npm run chaos -- --minutes 10           for ten minutes
  npm run chaos -- --seed 123             the same faults at the same times after a job's start (what they hit
                                          depends on how fast the machine is)
  npm run chaos -- --megabytes 64         more text (default 24)

Faults, one every 1 to 3 s: N1 worker killed, N4 agent killed, N6 coordinator killed, N15 worker stopped,
N22 a copy of an agent started, N32 coordinator stopped, S1 map output deleted, S2 a bit of one changed, S3
connections cut, S6 wires cut for short or long, S9 the coordinator's disk full (root only), S18 a bit
changed in a bundle or in side data. See docs/faults.md; the hostile jobs are in test/chaos/hostile-jobs.ts.
Exits 1 with what broke, and keeps the cluster's directory.`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string" },
      seconds: { type: "string" },
      seed: { type: "string" },
      megabytes: { type: "string", default: "24" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const seconds = Number(values.minutes ?? 0) * 60 + Number(values.seconds ?? 0);
  const seed = Number(values.seed ?? Date.now() % 1_000_000);
  const inputBytes = Number(values.megabytes) * MiB;
  const isWrong = !Number.isSafeInteger(seed) || !(seconds >= 0) || !(inputBytes > 0);
  if (isWrong) {
    console.error(
      `--seed takes a whole number; --minutes, --seconds and --megabytes take numbers\n\n${HELP}`,
    );
    return 2;
  }
  console.log(`seed ${seed}`);
  try {
    const ms = 1_000 * (seconds === 0 ? 90 : seconds);
    print(await runChaos({ ms, seed, inputBytes, tell: (line) => console.log(line) }));
    console.log(`seed ${seed}: no invariant broken`);
    return 0;
  } catch (error) {
    console.error(error);
    console.error(`seed ${seed}: an invariant is broken`);
    return 1;
  }
}

function print({ jobs, faults, attempts, attemptsAgain, memory }: ChaosReport): void {
  for (const [ending, count] of Object.entries(jobs)) console.log(`${String(count).padStart(6)}  ${ending}`);
  for (const [fault, count] of Object.entries(faults)) console.log(`${String(count).padStart(6)}  ${fault}`);
  console.log(`${attempts} attempts, ${attemptsAgain} of them more than tasks`);
  const peaks = Object.entries(memory).map(([what, bytes]) => `${what} ${Math.round(bytes / MiB)} MiB`);
  console.log(`most memory: ${peaks.join(", ")}`);
}

process.exitCode = await main();
