// Two Python programs that count words: sheaf stream beside cat | mapper | sort | reducer, in turns.
//   node bench/streaming.mjs [--mb 256] [--rounds 3] [--workers 2]
// Prints the wall times, their ratio, and what each took of the processors; fails when a byte differs.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    mb: { type: "string", default: "256" },
    rounds: { type: "string", default: "3" },
    workers: { type: "string", default: "2" },
  },
});
const [megabytes, rounds, workers] = [values.mb, values.rounds, values.workers].map(Number);
const sheaf = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const root = mkdtempSync(join(tmpdir(), "sheaf-streaming-"));
process.once("exit", () => rmSync(root, { recursive: true, force: true }));

writeFileSync(
  join(root, "map.py"),
  `import sys
for line in sys.stdin:
    for word in line.split():
        print(word + "\\t1")
`,
);
writeFileSync(
  join(root, "reduce.py"),
  `import sys
last, count = None, 0
for line in sys.stdin:
    word, one = line.split("\\t")
    if word != last:
        if last is not None:
            print(f"{last}\\t{count}")
        last, count = word, 0
    count += int(one)
if last is not None:
    print(f"{last}\\t{count}")
`,
);

/** Seconds of the wall and of the processors, children included. */
function timed(script) {
  const began = performance.now();
  const { status, stderr } = spawnSync("bash", ["-c", `set -eo pipefail; time (${script})`], {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, LC_ALL: "C", TIMEFORMAT: "%U %S", SHEAF_STATE: join(root, "state") },
  });
  if (status !== 0) throw new Error(stderr);
  const [user, system] = stderr.trim().split("\n").at(-1).split(" ").map(Number);
  return { wall: (performance.now() - began) / 1000, processor: user + system };
}

const node = `"${process.execPath}" "${sheaf}"`;
timed(`${node} gen text input.txt --size ${megabytes}MB -q`);
const programs = "-mapper 'python3 map.py' -reducer 'python3 reduce.py' -file map.py -file reduce.py";
const contenders = {
  pipe: `cat input.txt | python3 map.py | sort | python3 reduce.py > pipe.txt`,
  sheaf: `${node} stream -input input.txt -output out ${programs} -numReduceTasks ${workers} -w ${workers} --overwrite -q`,
};
const best = {};
for (let round = 1; round <= rounds; round++) {
  for (const [name, script] of Object.entries(contenders)) {
    const took = timed(script);
    console.log(
      `round ${round}  ${name.padEnd(6)} ${took.wall.toFixed(1)} s, processors ${took.processor.toFixed(1)} s`,
    );
    if (best[name] === undefined || took.wall < best[name]) best[name] = took.wall;
  }
}
timed("sort out/part-* | cmp - pipe.txt");
const size = statSync(join(root, "input.txt")).size / 1e6;
const parts = readdirSync(join(root, "out")).length - 1;
console.log(`${size.toFixed(0)} MB, ${workers} workers, ${parts} parts, the same bytes`);
console.log(`the pipe takes ${(best.pipe / best.sheaf).toFixed(2)} times as long (best of ${rounds})`);
