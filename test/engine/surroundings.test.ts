import assert from "node:assert/strict";
import { test } from "node:test";
import { surroundingsOf, variablesMissed } from "#src/engine/surroundings.js";

const namesIn = (code: string): string[] =>
  surroundingsOf(code, {}).map(([name]) => (JSON.parse(name) as string[]).join(" "));

test("what a job's code asks of its surroundings is found by its text", () => {
  const cases: [string, string[]][] = [
    ["const f = Number(process.env.FACTOR ?? 1);", ["variable FACTOR"]],
    [
      `process.env["A"] + process?.env?.B + process2.env['C_1'] + globalThis.process.env.D`,
      ["variable A", "variable B", "variable C_1", "variable D"],
    ],
    [`const { FACTOR, OTHER: other = "3" } = process.env;`, ["variable FACTOR", "variable OTHER"]],
    [`import { env as e, argv } from "node:process"; const x = e.ZONE;`, ["variable ZONE"]],
    [`import { env } from "process"; use(env.ZONE, my.env.NOT);`, ["variable NOT", "variable ZONE"]],
    // Packages ask for these; results do not depend on them. Secrets are not kept, not even as a hash.
    ["process.env.FORCE_COLOR; process.env.DEBUG; process.env.DB_PASSWORD; process.env.API_KEY", []],
    [
      "process.env.AUTHOR; process.env.KEYWORDS; process.env.PASSES; process.env.MONKEY",
      ["variable AUTHOR", "variable KEYWORDS", "variable MONKEY", "variable PASSES"],
    ],
    ["const e = process.env; e[name()];", []],
    ["record.env.FACTOR; environment.FACTOR", []],
    ["new Date(t).getHours()", ["time zone"]],
    ["new Date(t).getUTCHours(); new Date(t).toISOString()", []],
    ["new Date(t).toLocaleDateString()", ["default locale", "time zone"]],
    ["names.sort((a, b) => a.localeCompare(b))", ["default locale", "time zone"]],
    ["const day = new Intl.DateTimeFormat('de');", ["default locale", "time zone"]],
  ];
  for (const [code, names] of cases) assert.deepEqual(namesIn(code).sort(), names, code);
});

test("each value has a hash of its own: none, an empty one, another", () => {
  const code = "process.env.FACTOR";
  const hash = (value: string | undefined): string => surroundingsOf(code, { FACTOR: value })[0]![1];
  const all = [undefined, "", "1", "2", "null"].map(hash);
  assert.equal(new Set(all).size, all.length);
  assert.equal(hash("1"), hash("1"));
});

test("of what code asks for it is told what is set here, and is no task's elsewhere", () => {
  const code = "process.env.FACTOR; process.env.PATH; process.env.LC_ALL; process.env.UNSET; process.env.B";
  const env = { FACTOR: "", PATH: "/bin", LC_ALL: "C", B: "b", OTHER: "x" };
  assert.match(
    variablesMissed(code, "Hadoop", env)!,
    /^the job's code asks for B, FACTOR of .* tasks on Hadoop/,
  );
  assert.equal(variablesMissed("process.env.PATH", "Hadoop", env), null);
  assert.equal(variablesMissed("process.env.toString()", "Hadoop", { ...env }), null);
});
