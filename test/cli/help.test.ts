import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { allCommands, commandNames } from "#src/cli/commands.js";
import { allFlags, longHelp } from "#src/cli/help-text.js";
import { plainStyle } from "#src/cli/ui/style.js";
import { packageRoot, sheaf } from "./support.js";

test("sheaf alone lists every command", async () => {
  const { code, stdout, stderr } = await sheaf([]);
  assert.equal(code, 0);
  assert.equal(stderr, "");
  for (const name of commandNames) assert.match(stdout, new RegExp(`^  ${name} `, "m"));
  assert.ok(stdout.split("\n").every((line) => line.length <= 80));
});

test("help is the same by every door", async () => {
  const doors = await Promise.all([
    sheaf(["help", "run"]),
    sheaf(["run", "--help"]),
    sheaf(["run", "--nope", "--help"]),
  ]);
  for (const { code, stdout } of doors) {
    assert.equal(code, 0);
    assert.equal(stdout, doors[0]!.stdout);
  }
  const short = await sheaf(["run", "-h"]);
  assert.equal(short.code, 0);
  assert.ok(short.stdout.length < doors[0]!.stdout.length * 0.6);
});

test("every flag is in its command's help, with its own doc and no clash", async () => {
  for (const command of await allCommands()) {
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
    (await allCommands()).map((command) => command.name),
    commandNames,
  );
});

test("docs/cli.md is what the program says; if not: npm run docs", async () => {
  const { stdout } = await sheaf(["help", "--markdown"]);
  assert.equal(readFileSync(join(packageRoot, "docs/cli.md"), "utf8"), stdout);
});

test("--version, -V and version agree with package.json", async () => {
  const { version } = JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as {
    version: string;
  };
  for (const words of [["--version"], ["-V"], ["version"]]) {
    const { code, stdout } = await sheaf(words);
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^sheaf ${version.replaceAll(".", "\\.")} \\(Node v`));
  }
  const { stdout } = await sheaf(["--version", "--json"]);
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
    const { code, stdout, stderr } = await sheaf(words);
    assert.equal(code, 2, words.join(" "));
    assert.equal(stdout, "");
    assert.match(stderr, said);
  }
});

test("with --json an error is an object on standard output too", async () => {
  const { code, stdout } = await sheaf(["jobs", "--json", "--nmae", "x"]);
  assert.equal(code, 2);
  assert.deepEqual(JSON.parse(stdout), {
    kind: "error",
    code: "USAGE",
    message: "sheaf jobs: there is no flag --nmae",
    hint: "Did you mean --name?",
  });
});

test("completion scripts know every command and flag", async () => {
  const commands = await allCommands();
  for (const shell of ["bash", "zsh", "fish"]) {
    const { code, stdout } = await sheaf(["completion", shell]);
    assert.equal(code, 0);
    for (const command of commands) {
      assert.ok(stdout.includes(command.name), `${shell}: ${command.name}`);
      for (const flag of Object.values(allFlags(command)))
        assert.ok(stdout.includes(flag.name), `${shell}: ${flag.name}`);
    }
  }
});

test("the bash completion completes", async (t) => {
  const { stdout } = await sheaf(["completion", "bash"]);
  const complete = (line: string): string[] => {
    const words = line.split(" ");
    const script = `${stdout}
COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length - 1}; _sheaf; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const done = spawnSync("bash", ["--norc", "-c", script], { encoding: "utf8" });
    if (done.error !== undefined) t.skip("there is no bash");
    assert.equal(done.stderr ?? "", "");
    return (done.stdout ?? "").trim().split("\n").sort();
  };
  assert.deepEqual(complete("sheaf re"), ["replay", "results"]);
  assert.deepEqual(complete("sheaf run --no-pro"), ["--no-progress-timeout"]);
  assert.deepEqual(complete("sheaf run --isolate "), ["process", "thread"]);
  assert.deepEqual(complete("sheaf help in"), ["init", "inspect"]);
});
