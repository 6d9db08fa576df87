import { parseArgs } from "node:util";
import { MiB } from "#src/base/size.js";
import { runFuzz } from "./fuzz.js";
import type { FuzzReport } from "./fuzz.js";

const HELP = `Sends messages that nobody of sheaf sends to a real cluster of this machine (coordinator, two
agents) while it runs good jobs: real messages changed at random, and random bytes; to every route of the
coordinator, to the agents' shuffle servers, from workers to their agents or their run, and (changed answers)
from the coordinator to agents. After each round: no process has died, no answer was a fault of the server,
every slot takes work, what good jobs have made is right, no file is left, memory is bounded.

  npm run fuzz -- messages                for 60 seconds, with a seed of the moment
  npm run fuzz -- messages --minutes 10   for ten minutes
  npm run fuzz -- messages --seed 123     the same changes (of what is said then)

Exits 1 with what broke, and keeps the cluster's directory.`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      minutes: { type: "string" },
      seconds: { type: "string" },
      seed: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const seconds = Number(values.minutes ?? 0) * 60 + Number(values.seconds ?? 0);
  const seed = Number(values.seed ?? Date.now() % 1_000_000);
  if (positionals.join(" ") !== "messages" || !Number.isSafeInteger(seed) || !(seconds >= 0)) {
    console.error(`give "messages"; --seed takes a whole number, --minutes and --seconds numbers\n\n${HELP}`);
    return 2;
  }
  console.log(`seed ${seed}`);
  try {
    const ms = 1_000 * (seconds === 0 ? 60 : seconds);
    print(await runFuzz({ ms, seed, tell: (line) => console.log(line) }));
    console.log(`seed ${seed}: nothing is broken`);
    return 0;
  } catch (error) {
    console.error(error);
    console.error(`seed ${seed}: something is broken`);
    return 1;
  }
}

function print(report: FuzzReport): void {
  const { answers, changedAnswers, workerMessages, jobs, agentsEnded, memory, turns } = report;
  for (const [ending, count] of Object.entries(jobs)) console.log(`${String(count).padStart(7)}  ${ending}`);
  for (const [status, count] of Object.entries(answers))
    console.log(
      `${String(count).padStart(7)}  requests ${status === "0" ? "cut or held" : `answered ${status}`}`,
    );
  console.log(`${String(changedAnswers).padStart(7)}  answers to agents changed`);
  console.log(`${String(workerMessages).padStart(7)}  messages of workers read here`);
  console.log(`${String(agentsEnded).padStart(7)}  agents ended, saying why, and were started again`);
  const peaks = Object.entries(memory).map(([what, bytes]) => `${what} ${Math.round(bytes / MiB)} MiB`);
  console.log(`most memory: ${peaks.join(", ")}`);
  for (const [name, { wallMs, cpuMs }] of Object.entries(turns))
    console.log(`longest turn of ${name}: ${wallMs} ms, ${cpuMs} ms of them of the processor`);
}

process.exitCode = await main();
