import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { runCommand } from "#src/cli/command/run.js";
import { askedRun } from "#src/cli/command/run/asked.js";
import type { AskedRun } from "#src/cli/command/run/asked.js";
import { runOptions } from "#src/cli/command/run/options.js";
import type { RunFlags } from "#src/cli/command/run/options.js";
import { connectedAs } from "#src/cli/connection.js";
import { globalFlags } from "#src/cli/flags.js";
import { bindFlags, tokenizeArguments } from "#src/cli/parse-arguments.js";
import type { World } from "#src/cli/world.js";
import { sheafHere, stateDirectory, tempDir } from "../cli/support.js";

function folder(t: TestContext, content: object): string {
  const root = tempDir(t);
  mkdirSync(join(root, "jobs"));
  writeFileSync(
    join(root, "jobs/words.ts"),
    `import { count, job, text } from "sheaf";
    export default job({
      params: { least: 1, most: 99 },
      input: text(),
      map(line, emit, ctx) {
        for (const word of line.split(" "))
          if (word.length >= ctx.params.least && word.length <= ctx.params.most) emit(word);
      },
      reduce: count(),
    });`,
  );
  writeFileSync(join(root, "sheaf.json"), JSON.stringify(content));
  return root;
}

const flagsOf = (words: readonly string[]): { flags: RunFlags; positionals: readonly string[] } => {
  const flags = { ...runCommand.flags, ...globalFlags };
  const { texts, positionals } = tokenizeArguments(words, flags, "run");
  return { flags: bindFlags(texts, flags) as unknown as RunFlags, positionals };
};

const worldAt = (cwd: string, env: Readonly<Record<string, string>> = {}): World =>
  ({ cwd, env: { SHEAF_STATE: stateDirectory, ...env }, stderr: process.stderr }) as unknown as World;

const asked = (line: string, cwd: string, env: Readonly<Record<string, string>> = {}): Promise<AskedRun> =>
  askedRun(flagsOf(line.split(" ")), worldAt(cwd, env));

/** What the runner is told, in the end. */
async function options(line: string, cwd: string, env: Readonly<Record<string, string>> = {}) {
  const run = await asked(line, cwd, env);
  return {
    runner: run.runner,
    ...(await runOptions(run.runner, { ...run, delivery: null }, worldAt(cwd, env))),
  };
}

/** Who may say where a job runs, the one that wins first. */
const speakers = ["flag", "profile's job", "profile", "environment", "job", "defaults"] as const;

test("flag, profile of the job, profile, environment, job, defaults: the first that speaks wins, in all 64 cases", () => {
  for (let set = 0; set < 2 ** speakers.length; set++) {
    const says = (who: (typeof speakers)[number]): boolean => (set & (1 << speakers.indexOf(who))) !== 0;
    const layer = (who: (typeof speakers)[number]) => ({
      place: who,
      settings: says(who) ? { on: `http://${who}` } : {},
    });
    const { flags } = flagsOf(["job", ...(says("flag") ? ["--on", "http://flag"] : [])]);
    const layers = {
      asked: [layer("profile's job"), layer("profile")],
      standing: [layer("job"), layer("defaults")],
    };
    const env = says("environment") ? { SHEAF_ON: "http://environment" } : {};
    const { on } = connectedAs(flags, layers, { env });
    const winner = speakers.find(says);
    assert.equal(on ?? env.SHEAF_ON, winner === undefined ? undefined : `http://${winner}`, String(set));
  }
});

test("the project's token is not sent to a coordinator that somebody else names", () => {
  const project = { place: "defaults", settings: { on: "http://a", tokenFile: "/a.token" } };
  const tokenFor = (words: readonly string[], env: Readonly<Record<string, string>>, asked: object = {}) =>
    connectedAs(
      flagsOf(["job", ...words]).flags,
      { asked: [{ place: "profiles.p", settings: asked }], standing: [project] },
      { env },
    ).tokenFile;
  assert.equal(tokenFor([], {}), "/a.token");
  assert.equal(tokenFor([], { SHEAF_ON: "" }), "/a.token");
  assert.equal(tokenFor(["--on", "http://a"], {}), "/a.token");
  assert.equal(tokenFor(["--on", "http://b"], {}), undefined);
  assert.equal(tokenFor([], { SHEAF_ON: "http://b" }), undefined);
  assert.equal(tokenFor([], { SHEAF_TOKEN_FILE: "/env.token" }), undefined);
  assert.equal(tokenFor(["--token-file", "/f.token"], {}), "/f.token");
  assert.equal(tokenFor([], { SHEAF_TOKEN_FILE: "/env.token" }, { tokenFile: "/p.token" }), "/p.token");
});

const content = {
  jobs: {
    words: "jobs/words.ts",
    long: {
      file: "jobs/words.ts",
      inputs: ["data/a.txt", "data/b.txt"],
      output: "out",
      overwrite: true,
      params: { least: 5 },
      mappers: 3,
      cores: 2,
      name: "long words",
    },
  },
  defaults: { params: { least: 2, most: 8 }, splitSize: "1KiB", memory: "16MiB", workers: 2, cores: 9 },
  profiles: {
    small: { memory: "8MiB", splitSize: 64, jobs: { long: { params: { most: 6 } } } },
    prod: { on: "http://10.0.0.5:7077", tokenFile: "prod.token", cores: 64 },
    wrong: { memory: "7MiB" },
  },
};

test("a run is told what the project says where the command line is silent", async (t) => {
  const root = folder(t, content);
  const told = async (line: string, names: readonly string[]): Promise<unknown[]> => {
    const all = (await options(line, root)) as Readonly<Record<string, unknown>>;
    return names.map((name) => all[name]);
  };
  const data = [join(root, "data/a.txt"), join(root, "data/b.txt")];
  const out = join(root, "out");
  const names = ["runner", "inputs", "output", "overwrite", "name", "workers", "cores"];
  assert.deepEqual(await told("long", names), ["local", data, out, true, "long words", 2, undefined]);
  // The job's mappers take the place of the defaults' split size; params are joined by name.
  const sizes = ["mappers", "splitSize", "memory", "params"];
  assert.deepEqual(await told("long", sizes), [3, undefined, "16MiB", { least: 5, most: 8 }]);
  assert.deepEqual(await told("words", sizes), [undefined, "1KiB", "16MiB", { least: 2, most: 8 }]);
  assert.deepEqual(await told("long --profile small", sizes), [undefined, 64, "8MiB", { least: 5, most: 6 }]);
  const flagged = "long --profile small --set most=7 --mappers 4 --memory 32MiB";
  assert.deepEqual(await told(flagged, sizes), [4, undefined, 33_554_432, { least: 5, most: "7" }]);
  // By its path a job file has the defaults of its project, and nothing that belongs to a name.
  const byPath = [...names.slice(0, 5), "params"];
  const defaults = { least: 2, most: 8 };
  assert.deepEqual(await told("jobs/words.ts x", byPath), [
    "local",
    ["x"],
    undefined,
    undefined,
    undefined,
    defaults,
  ]);
  // Somewhere else nothing may be replaced.
  assert.deepEqual(await told("long -o other", ["output", "overwrite"]), ["other", undefined]);
  assert.deepEqual(await told("long --no-overwrite", ["output", "overwrite"]), [out, false]);
  assert.deepEqual(await told("long c.txt", ["inputs"]), [["c.txt"]]);
});

test("a profile sends a run to its cluster with its token; what is for this machine only stays behind", async (t) => {
  const root = folder(t, content);
  const prod = (await options("long --profile prod", root)) as Readonly<Record<string, unknown>>;
  const { runner, on, tokenFile, cores, workers } = prod;
  assert.deepEqual(
    [runner, on, tokenFile, cores, workers],
    ["cluster", "http://10.0.0.5:7077", join(root, "prod.token"), 64, undefined],
  );
  const here = await asked("long --profile prod --on local", root);
  assert.equal(here.runner, "local");
  const elsewhere = await options("long --profile prod --on http://10.0.0.6:7077", root);
  assert.equal((elsewhere as Readonly<Record<string, unknown>>)["tokenFile"], undefined);
  await assert.rejects(asked("long --profile nope", root), { hint: "There are: small, prod, wrong." });
  await assert.rejects(asked("long --profile wrong", root), {
    code: "USAGE",
    message: `${root}/sheaf.json: profiles.wrong.memory: 7340032 bytes are too few, 8388608 is the least`,
  });
  const foreign = "long x -o out --listen 0 --intermediate mid --profile prod";
  await assert.rejects(asked(foreign, root), { message: /--profile is not for workers in other languages/ });
  assert.equal((await asked("long x -o out --listen 0 --intermediate mid", root)).settings.params, undefined);
  assert.equal((await asked("long x -o out --listen 0", root)).runner, "workers");
});

test("sheaf run takes input, output and params of a sheaf.config.ts; sheaf project says where each comes from", async (t) => {
  const root = folder(t, {});
  const config = `export default ${JSON.stringify(content)} satisfies import("sheaf").ProjectConfig;`;
  writeFileSync(join(root, "sheaf.config.ts"), config);
  const both = await sheafHere(["run", "long"], { cwd: root });
  assert.equal(both.code, 2);
  assert.match(both.stderr, /has both sheaf\.json and sheaf\.config\.ts/);
  rmSync(join(root, "sheaf.json"));
  mkdirSync(join(root, "data"));
  writeFileSync(join(root, "data/a.txt"), "a bb ccccc\ndddddd ccccc eeeeeeeee");
  writeFileSync(join(root, "data/b.txt"), "fffffff ccccc");
  const deep = join(root, "data");
  const ran = await sheafHere(["run", "long", "--profile", "small", "-q"], { cwd: deep });
  assert.equal(ran.code, 0, ran.stderr);
  assert.equal(readFileSync(join(root, "out/part-00000.tsv"), "utf8"), "ccccc\t3\ndddddd\t1\n");

  const [listed, shown, completed] = await Promise.all([
    sheafHere(["project", "--json"], { cwd: deep }),
    sheafHere(["project", "long", "--profile", "small"], {
      cwd: deep,
      env: { SHEAF_ON: "http://10.0.0.9:1" },
    }),
    sheafHere(["completion", "jobs"], { cwd: deep }),
  ]);
  const answer = JSON.parse(listed.stdout) as { readonly jobs: unknown; readonly profiles: unknown };
  const file = join(root, "jobs/words.ts");
  assert.deepEqual(answer.jobs, [
    { name: "words", file, title: null },
    { name: "long", file, title: null },
  ]);
  assert.deepEqual(answer.profiles, ["small", "prod", "wrong"]);
  assert.match(shown.stdout, /^memory +8MiB +profiles\.small$/m);
  assert.match(shown.stdout, /^on +http:\/\/10\.0\.0\.9:1 +\$SHEAF_ON$/m);
  assert.match(shown.stdout, /^params\.most +6 +profiles\.small\.jobs\.long$/m);
  assert.match(shown.stdout, /^params\.least +5 +jobs\.long$/m);
  assert.doesNotMatch(shown.stdout, /splitSize +"?1KiB/);
  assert.equal(completed.stdout, "words\nlong\n");
});
