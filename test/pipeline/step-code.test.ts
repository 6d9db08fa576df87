import assert from "node:assert/strict";
import { test } from "node:test";
import { codeOfSteps } from "#src/pipeline/step-code.js";

const names = ["clean", "report"];

/** The steps whose code is another in the second bundle. */
function changed(before: string, after: string, steps: readonly string[] = names): string[] {
  const [a, b] = [codeOfSteps(before, steps), codeOfSteps(after, steps)];
  return steps.filter((name) => a[name] !== b[name]);
}

const constants = `import { job, pipeline } from "sheaf";
var limit = 3;
var clean = job({
  map(line) {
    return [[line, ")"]];
  }
});
var report_default = job({ input: from(clean), params: { top: 10 }, map([w]) {
  return w.match(/[)(]/) ? \`\${w})\` : limit;
} });
var p_default = pipeline({ clean, report: report_default });
export { p_default as default };
`;

const inPlace = `var helper = (x) => x;
var p_default = pipeline({
  clean: job({ map: (line) => helper(line) }),
  report: step(job({
    input: from("clean"),
    map: ([w]) => w
  }), { keep: true })
}, (from2) => ({
  "last-one": job({ input: from2("report") })
}));
`;

test("a change within one step is a change of that step only", () => {
  assert.deepEqual(changed(constants, constants), []);
  assert.deepEqual(changed(constants, constants.replace('")"', '"("')), ["clean"]);
  assert.deepEqual(changed(constants, constants.replace("top: 10", "top: 11")), ["report"]);
  assert.deepEqual(changed(constants, constants.replace("[)(]", "[)]")), ["report"]);
  const all = [...names, "last-one"];
  assert.deepEqual(changed(inPlace, inPlace.replace("helper(line)", "helper(line, 1)"), all), ["clean"]);
  assert.deepEqual(changed(inPlace, inPlace.replace("=> w\n", "=> w + 1\n"), all), ["report"]);
  assert.deepEqual(changed(inPlace, inPlace.replace('from2("report")', 'from2("clean")'), all), ["last-one"]);
});

test("a change outside of the steps is one of every step", () => {
  assert.deepEqual(changed(constants, constants.replace("limit = 3", "limit = 4")), names);
  assert.deepEqual(changed(inPlace, inPlace.replace("(x) => x", "(x) => x + 1")), names);
});

test("a step that is made of another's constant changes with it, and one that reads it does not", () => {
  const bundle = (entries: string, more = ""): string => `import { from, job, pipeline, step } from "sheaf";
var words = job({ input: text(), map: (line) => [[line, 1]] });
${more}var counts = job({ input: from(words), map: ([w]) => [[w.words, "counted"]] });
var p_default = pipeline({ words, counts, ${entries} });
export {
  p_default as default,
  words
};
`;
  const cases: [entries: string, changed: string[], more?: string][] = [
    ['again: step(words, { inputs: "b" })', ["words", "again"]],
    ["again: job({ input: text(), map: words.map })", ["words", "again"]],
    ["again: job({ ...words, seed: 2 })", ["words", "again"]],
    [
      "again: job({ ...other, seed: 2 }), other",
      ["words", "again", "other"],
      "var other = job({ ...words });\n",
    ],
    [
      "again: job({ map: helper })",
      ["words", "counts", "again"],
      "var helper = (line) => words.map(line);\n",
    ],
    ['again: job({ input: from(words, ""), map: (x) => x.words })', ["words"]],
    ['again: job({ input: from("words"), map: (swords) => swords })', ["words"]],
    [
      "again: job({ map: use((x) => x.map) })",
      ["words", "counts", "again"],
      "var use = (from) => from(words);\n",
    ],
    [
      "again: job({ map: () => from(words) })",
      ["words", "counts", "again"],
      "function from(x) { return x.map; }\n",
    ],
  ];
  for (const [entries, expected, more] of cases) {
    const before = bundle(entries, more);
    const steps = ["words", "counts", "again", ...(entries.endsWith(", other") ? ["other"] : [])];
    assert.deepEqual(changed(before, before.replace("[line, 1]", "[line, 2]"), steps), expected, entries);
    assert.ok(new Set(Object.values(codeOfSteps(before, steps))).size > 1, `${entries}: told apart`);
  }
});

test("a step more changes no other", () => {
  const more = inPlace.replace("  report: step", "  more: job({ input: text() }),\n  report: step");
  const [a, b] = [
    codeOfSteps(inPlace, [...names, "last-one"]),
    codeOfSteps(more, [...names, "more", "last-one"]),
  ];
  for (const name of names) assert.equal(a[name], b[name], name);
});

test("where a step's text cannot be told for sure, any change is one of every step", () => {
  const hidden = [
    // Made by a function: what it was called with is not in the text of the job.
    `var make = (n) => job({ map: () => n });\nvar p = pipeline({ clean: make(1), report: make(2) });\n`,
    // Two constants of that name, in modules of their own.
    `var clean = job({});\nvar x = () => {\nvar clean = job({ a: 1 });\n};\nvar p = pipeline({ clean, report: job({ b: 1 }) });\n`,
    // One job is two steps.
    `var one = job({ map: 1 });\nvar p = pipeline({ clean: one, report: one });\n`,
    // Not called by its name.
    `var clean = j({ map: 1 });\nvar p = p2({ clean, report: j({ map: 2 }) });\n`,
    // What is no expression of its own cannot be cut out.
    `var clean = job({ map: () => import.meta.url });\nvar p = pipeline({ clean, report: job({ map: 2 }) });\n`,
  ];
  for (const bundle of hidden) {
    const codes = codeOfSteps(bundle, names);
    assert.equal(codes["clean"], codes["report"], bundle);
    assert.deepEqual(changed(bundle, `${bundle}// more`), names, bundle);
  }
});
