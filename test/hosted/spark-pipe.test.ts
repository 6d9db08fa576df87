import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { compileJava, hostedJar, maven, onlyWithEngines } from "../kit/jars.ts";
import { small, sparkHome, sparkMissing } from "./spark-lab.ts";

const work = mkdtempSync(join(tmpdir(), "sheaf-pipe a%20b -"));
after(() => rmSync(work, { recursive: true, force: true }));

/** What a task program can do, as a shell script, and what is then told. */
const tasks: readonly [task: string, script: string, told: RegExp][] = [
  ["3000:1:echo", "exec cat", /^3000 frames, 3000000 bytes$/],
  ["6:5000:echo", "exec cat", /^6 frames, 30000000 bytes$/],
  ["0:0:echo", "exec cat", /^0 frames, 0 bytes$/],
  ["9:1000:reads-nothing", "exit 0", /ended before it had read its input/],
  ["9:1000:reads-some", "head -c 100 >/dev/null; exit 0", /ended before it had read its input/],
  ["1:0:cut-length", "cat >/dev/null; printf '\\000\\000'", /stopped within a frame/],
  ["1:0:cut-key", "cat >/dev/null; printf '\\000\\000\\000\\004ab'", /stopped within a frame/],
  ["1:0:no-value", "cat >/dev/null; printf '\\000\\000\\000\\001a'", /stopped within a frame/],
  [
    "1:0:negative",
    "cat >/dev/null; printf '\\377\\377\\377\\377abcd'",
    /sent no frame: .*a frame of -1 bytes/,
  ],
  ["1:0:fails", "echo why not >&2; exit 7", /ended with exit code 7\|why not/],
  ["1:0:killed", "kill -9 $$", /was ended by signal 9/],
  [
    "1:0:says",
    "echo reporter:status:x >&2; echo früh >&2; printf 'sheaf-error: %020000d.\\n' 1 >&2; echo last >&2; exit 3",
    /exit code 3\|sheaf-error: 0{19999}1\.\|fr.+h\|last/,
  ],
  [
    "1:0:floods",
    "yes 0123456789 | head -n 20000 >&2; echo last >&2; exit 3",
    /exit code 3\|(?:0123456789\|){700,760}last/,
  ],
  ["2:1:echo:lost", "exec cat", /IllegalStateException: the shuffle is lost/],
  // Of its pipes programs of user code have standard error: run.sh keeps the others to itself.
  ["1:0:leaves-a-child", "sleep 30 >/dev/null & cat >/dev/null; exit 4", /ended with exit code 4/],
];

test(
  "whatever a task program does, its task has all frames or fails",
  { skip: onlyWithEngines("THE PIPE OF SPARK") ?? sparkMissing("3.5.8") ?? false },
  () => {
    const classes = compileJava("hosted/SparkPipeLab.java", [
      maven.jarsOf(maven.names.hosted),
      dirname(hostedJar()),
    ]);
    for (const [task, script] of tasks) {
      const home = join(work, task.split(":")[2]!, "sheaf");
      mkdirSync(home, { recursive: true });
      writeFileSync(join(home, "run.sh"), `${script}\n`);
    }
    const home = sparkHome("3.5.8");
    const conf = Object.entries({ ...small, "spark.ui.enabled": "false", "spark.local.dir": work });
    const words = conf.flatMap(([name, value]) => ["--conf", `${name}=${value}`]);
    words.push("--master", "local[1]", "--driver-class-path", `${classes}:${hostedJar()}`);
    words.push("--class", "SparkPipeLab", "spark-internal", work, ...tasks.map(([task]) => task));
    const out = execFileSync(join(home, "bin/spark-submit"), words, {
      encoding: "utf8",
      env: { ...process.env, SPARK_HOME: home, SPARK_LOCAL_IP: "127.0.0.1", LC_ALL: "C" },
      stdio: ["ignore", "pipe", "ignore"],
    });
    const told = out.split("\n").filter((line) => line.startsWith("told: "));
    assert.equal(told.length, tasks.length, out.slice(-2_000));
    for (const [at, [task, , wanted]] of tasks.entries()) assert.match(told[at]!.slice(6), wanted, task);
    // Text of programs is UTF-8, whatever the JVM's locale is.
    assert.match(out, /sheaf-log: lab früh\n/);
  },
);
