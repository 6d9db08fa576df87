import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { allFlags, longHelp } from "#src/cli/command/help.js";
import { commands } from "#src/cli/commands.js";
import { plainStyle } from "#src/cli/ui/style.js";
import { packageRoot, sheafHere, sheafBinary, tempDir } from "./support.js";

test("sheaf alone lists every command", async () => {
  const { code, stdout, stderr } = await sheafHere([]);
  assert.equal(code, 0);
  assert.equal(stderr, "");
  for (const name of commands.names) assert.match(stdout, new RegExp(`^  ${name} `, "m"));
  assert.ok(stdout.split("\n").every((line) => line.length <= 80));
});

test("help is the same by every door", async () => {
  const doors = await Promise.all([
    sheafHere(["help", "run"]),
    sheafHere(["run", "--help"]),
    sheafHere(["run", "--nope", "--help"]),
  ]);
  for (const { code, stdout } of doors) {
    assert.equal(code, 0);
    assert.equal(stdout, doors[0]!.stdout);
  }
  const short = await sheafHere(["run", "-h"]);
  assert.equal(short.code, 0);
  assert.ok(short.stdout.length < doors[0]!.stdout.length * 0.6);
});

test("every flag is in its command's help, with its own doc and no clash", async () => {
  for (const command of await commands.all()) {
    const flags = Object.values(allFlags(command));
    const stdout = await longHelp(command, { width: 80, style: plainStyle });
    for (const flag of flags) {
      assert.ok(stdout.includes(`--${flag.name}`), `${command.name} --${flag.name}`);
      assert.ok(!flag.doc.endsWith("."), `${flag.name}: doc ends with a full stop`);
    }
    const names = flags.flatMap((flag) => [flag.name, ...(flag.short === undefined ? [] : [flag.short])]);
    assert.equal(new Set(names).size, names.length, `${command.name} has two flags of one name`);
    assert.ok(
      stdout
        .split("\n")
        .every((line) => line.length <= 80 || line.startsWith("    sheaf") || line.includes("node --")),
    );
  }
});

test("every command is found by its own name", async () => {
  assert.deepEqual(
    (await commands.all()).map((command) => command.name),
    commands.names,
  );
});

test("docs/cli.md is what the program says; if not: npm run docs", async () => {
  const { stdout } = await sheafHere(["help", "--markdown"]);
  assert.equal(readFileSync(join(packageRoot, "docs/cli.md"), "utf8"), stdout);
});

test("--version, -V and version agree with package.json", async () => {
  const { version } = JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as {
    version: string;
  };
  for (const words of [["--version"], ["-V"], ["version"]]) {
    const { code, stdout } = await sheafHere(words);
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^sheaf ${version.replaceAll(".", "\\.")} \\(Node v`));
  }
  const { stdout } = await sheafHere(["--version", "--json"]);
  assert.equal((JSON.parse(stdout) as { sheaf: string }).sheaf, version);
});

test("wrong commands and flags exit 2 with a suggestion and nothing on standard output", async () => {
  const cases: readonly [readonly string[], RegExp][] = [
    [["rnu"], /there is no command "rnu" \[USAGE\]\n  Did you mean sheaf run\?\n$/],
    [["job.ts", "in"], /Did you mean sheaf run job\.ts\?/],
    [["--workers", "2"], /--workers stands where a command should/],
    [["run", "--worker", "2"], /there is no flag --worker \[USAGE\]\n  Did you mean --workers\?/],
    [["run"], /JOB is missing \[USAGE\]\n  Usage: sheaf run JOB \[INPUT\.\.\.\]/],
    [["help", "rum"], /Did you mean sheaf run\?/],
    [["gen", "txt", "--size", "1"], /Did you mean text\?/],
    [["completion", "tcsh"], /SHELL is "tcsh"/],
    [["jobs", "extra"], /"extra" is one argument too many/],
  ];
  for (const [words, said] of cases) {
    const { code, stdout, stderr } = await sheafHere(words);
    assert.equal(code, 2, words.join(" "));
    assert.equal(stdout, "");
    assert.match(stderr, said);
  }
});

test("with --json an error is an object on standard output too", async () => {
  const { code, stdout } = await sheafHere(["jobs", "--json", "--nmae", "x"]);
  assert.equal(code, 2);
  assert.deepEqual(JSON.parse(stdout), {
    kind: "error",
    code: "USAGE",
    message: "sheaf jobs: there is no flag --nmae",
    hint: "Did you mean --name?",
  });
});

test("completion scripts know every command and flag", async () => {
  const all = await commands.all();
  for (const shell of ["bash", "zsh", "fish"]) {
    const { code, stdout } = await sheafHere(["completion", shell]);
    assert.equal(code, 0);
    for (const command of all) {
      assert.ok(stdout.includes(command.name), `${shell}: ${command.name}`);
      for (const flag of Object.values(allFlags(command)))
        assert.ok(stdout.includes(flag.name), `${shell}: ${flag.name}`);
    }
  }
});

/** A directory whose sheaf.json has jobs, a state with jobs that ran, and a `sheaf` to be found on $PATH. */
function completing(t: TestContext): { readonly cwd: string; readonly env: NodeJS.ProcessEnv } {
  const cwd = tempDir(t);
  const state = join(cwd, "state");
  writeFileSync(
    join(cwd, "sheaf.json"),
    '{ "jobs": { "words": "./w.ts", "by hour": "./h.ts", "$(touch x)": "./x.ts" } }',
  );
  writeFileSync(join(cwd, "a file.ts"), "");
  for (const [id, name] of [
    ["20260131-120509000-words-abcd", "words"],
    ["20260201-120509000-sales-efgh", "sales"],
  ]) {
    mkdirSync(join(state, "jobs", id!), { recursive: true });
    writeFileSync(
      join(state, "jobs", id!, "job.json"),
      JSON.stringify({ jobId: id, name, status: "SUCCEEDED" }),
    );
  }
  const bin = join(cwd, "bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "sheaf"), `#!/bin/sh\nexec '${process.execPath}' '${sheafBinary}' "$@"\n`, {
    mode: 0o755,
  });
  return {
    cwd,
    env: {
      ...process.env,
      NODE_TEST_CONTEXT: undefined,
      SHEAF_STATE: state,
      PATH: `${bin}:${process.env["PATH"]}`,
    },
  };
}

test("the fish completion knows commands, jobs by name and handles", async (t) => {
  const { cwd, env } = completing(t);
  const complete = (line: string): string[] | null => {
    const script = "sheaf completion fish | source; complete -C $argv[1]";
    const done = spawnSync("fish", ["--no-config", "-c", script, line], { encoding: "utf8", cwd, env });
    if (done.error !== undefined) return null;
    return done.stdout
      .trim()
      .split("\n")
      .map((each) => each.split("\t")[0]!)
      .sort();
  };
  const handles = complete("sheaf show @");
  if (handles === null) return t.skip("there is no fish here");
  assert.deepEqual(handles, ["@", "@?sales", "@?words"]);
  assert.deepEqual(complete("sheaf run wo"), ["words"]);
  assert.deepEqual(complete("sheaf logs 202602"), ["20260201-120509000-sales-efgh"]);
  assert.deepEqual(complete("sheaf completion h"), ["handles"]);
});

test("the zsh completion is a script that zsh can read", async (t) => {
  const { stdout } = await sheafHere(["completion", "zsh"]);
  const done = spawnSync("zsh", ["-f", "-n"], { encoding: "utf8", input: stdout });
  if (done.error !== undefined) return t.skip("there is no zsh here");
  assert.deepEqual([done.status, done.stderr], [0, ""]);
});

test("the bash completion completes", async (t) => {
  const { stdout } = await sheafHere(["completion", "bash"]);
  const { cwd, env } = completing(t);
  const complete = (line: string): string[] => {
    const words = line.split(" ");
    const script = `${stdout}
COMP_LINE='${line}'; COMP_POINT=\${#COMP_LINE}
COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length - 1}; _sheaf; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const done = spawnSync("bash", ["--norc", "-c", script], { encoding: "utf8", cwd, env });
    if (done.error !== undefined) t.skip("there is no bash");
    assert.equal(done.stderr ?? "", "");
    return (done.stdout ?? "").trim().split("\n").sort();
  };
  assert.deepEqual(complete("sheaf re"), ["replay", "results", "resume"]);
  assert.deepEqual(complete("sheaf run --no-pro"), ["--no-progress-timeout"]);
  assert.deepEqual(complete("sheaf run --isolate "), ["process", "thread"]);
  assert.deepEqual(complete("sheaf help in"), ["init", "inspect"]);
  assert.deepEqual(complete("sheaf run w"), ["words"]);
  assert.deepEqual(complete("sheaf run b"), ["bin", "by hour"]);
  assert.deepEqual(complete("sheaf run a"), ["a file.ts"]);
  assert.deepEqual(complete("sheaf run $"), ["$(touch x)"]);
  assert.ok(!existsSync(join(cwd, "x")), "a job's name was run as a command");
  assert.deepEqual(complete("sheaf show @"), ["@", "@?sales", "@?words"]);
  assert.deepEqual(complete("sheaf attach @\\?w"), ["@?words"]);
  assert.deepEqual(complete("sheaf show 202601"), ["20260131-120509000-words-abcd"]);
});
