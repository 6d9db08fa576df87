import assert from "node:assert/strict";
import { test } from "node:test";
import { isSheafError } from "#src/base/errors.js";
import { repeatedFlag, switchFlag, types, valueFlag } from "#src/cli/flag.js";
import { bindFlags, checkPositionals, tokenizeArguments } from "#src/cli/parse-arguments.js";

const flags = {
  output: valueFlag("-o, --output DIR", types.string, ""),
  workers: valueFlag("-w, --workers N", types.integer({ min: 1, max: 8 }), ""),
  noProgressTimeout: valueFlag("--no-progress-timeout TIME", types.duration, ""),
  set: repeatedFlag("--set NAME=VALUE", types.assignment, ""),
  overwrite: switchFlag("--overwrite", ""),
  quiet: switchFlag("-q, --quiet", ""),
};

function parse(...words: string[]) {
  const { texts, positionals } = tokenizeArguments(words, flags, "run");
  return { values: bindFlags(texts, flags), positionals };
}

function refusal(...words: string[]): string {
  try {
    parse(...words);
  } catch (error) {
    assert.ok(isSheafError(error));
    assert.equal(error.code, "USAGE");
    return `${error.message} | ${error.hint ?? ""}`;
  }
  return assert.fail(`${words.join(" ")} was taken`);
}

test("flags bind by name wherever they stand", () => {
  for (const words of [
    ["job.ts", "in", "-o", "out", "-q"],
    ["-o", "out", "job.ts", "--quiet", "in"],
    ["job.ts", "--output=out", "in", "--quiet=true"],
    ["-qoout", "job.ts", "in"],
  ]) {
    const { values, positionals } = parse(...words);
    assert.deepEqual(positionals, ["job.ts", "in"], words.join(" "));
    assert.equal(values["output"], "out", words.join(" "));
    assert.equal(values["quiet"], true, words.join(" "));
  }
});

test("what is not given is undefined, or empty for flags that repeat", () => {
  const { values } = parse();
  assert.equal(values["output"], undefined);
  assert.equal(values["overwrite"], undefined);
  assert.deepEqual(values["set"], []);
});

test("--no- turns a switch off, and is part of the name where a flag is called so", () => {
  assert.equal(parse("--no-overwrite").values["overwrite"], false);
  assert.equal(parse("--no-progress-timeout", "2m").values["noProgressTimeout"], 120_000);
  assert.match(refusal("--no-workers"), /no flag --no-workers/);
});

test("two dashes end the flags, one is an argument", () => {
  assert.deepEqual(parse("a", "--", "-q", "--nope").positionals, ["a", "-q", "--nope"]);
  assert.deepEqual(parse("a", "-").positionals, ["a", "-"]);
  assert.equal(parse("-o", "-").values["output"], "-");
});

test("repeatable flags gather in order, and keep what follows the first =", () => {
  assert.deepEqual(parse("--set", "a=1", "--set=b=x=y", "--set", "c=").values["set"], [
    ["a", "1"],
    ["b", "x=y"],
    ["c", ""],
  ]);
});

test("wrong flags are refused with what to write instead", () => {
  assert.equal(refusal("--ovewrite"), "sheaf run: there is no flag --ovewrite | Did you mean --overwrite?");
  assert.match(refusal("--zzzzzz"), /no flag --zzzzzz \| See sheaf run -h/);
  assert.match(refusal("-z"), /no flag -z/);
  assert.match(refusal("-o"), /-o needs an argument \| Write --output=DIR/);
  assert.match(refusal("-o", "--overwrite"), /-o needs an argument, but the flag --overwrite follows/);
  assert.equal(
    refusal("-w", "1", "--workers", "2"),
    '--workers is given twice ("1", then "2") | Give it once.',
  );
  assert.match(refusal("-q", "--quiet"), /--quiet is given twice/);
  assert.match(refusal("--quiet=yes"), /takes no argument, but "yes" was given/);
  assert.match(refusal("-w", "0"), /--workers: 0 is out of range \| Give a whole number, 1 to 8/);
  assert.match(refusal("-w", "1.5"), /--workers: "1.5" is not a whole number/);
  assert.match(refusal("--set", "a"), /--set: "a" is not name=value/);
  assert.match(refusal("--output="), /--output: the argument is empty/);
});

test("positionals: too few, too many, not among the choices", () => {
  const command = {
    name: "show",
    summary: "",
    details: [],
    arguments: [{ name: "SHELL", doc: "", required: true, choices: ["bash", "zsh"] }],
    flags: {},
    examples: [],
    run: () => assert.fail(),
  };
  checkPositionals(["bash"], command);
  assert.throws(() => checkPositionals([], command), {
    message: "sheaf show: SHELL is missing",
    code: "USAGE",
  });
  assert.throws(() => checkPositionals(["bash", "x"], command), { message: /"x" is one argument too many/ });
  assert.throws(() => checkPositionals(["bsah"], command), { hint: "Did you mean bash?" });
});

test("flag types", () => {
  const cases: readonly [{ parse(text: string, what: string): unknown }, string, unknown][] = [
    [types.size({ min: 1 }), "64KiB", 65536],
    [types.duration, "500ms", 500],
    [types.duration, "1.5h", 5_400_000],
    [types.duration, "0", 0],
    [types.fraction, "1%", 0.01],
    [types.fraction, "0.25", 0.25],
    [types.fraction, "1", 1],
    [types.integer({ min: 0 }), "10_000_000", 10_000_000],
    [types.choice(["a", "b"]), "b", "b"],
    [types.partitions, "8", { collection: undefined, count: 8 }],
    [types.partitions, "byCity=3", { collection: "byCity", count: 3 }],
    [types.badBudget, "100", 100],
    [types.badBudget, "0.01%", "0.01%"],
  ];
  for (const [type, text, value] of cases) assert.deepEqual(type.parse(text, "--x"), value, text);

  const refused: readonly [{ parse(text: string, what: string): unknown }, string][] = [
    [types.size({ min: 1 }), "64 potatoes"],
    [types.size({ min: 1024 }), "1023"],
    [types.duration, "30"],
    [types.duration, "-1s"],
    [types.fraction, "0"],
    [types.fraction, "101%"],
    [types.fraction, "x"],
    [types.integer({ min: 0 }), "1__0"],
    [types.integer({ min: 0 }), ""],
    [types.choice(["a", "b"]), "c"],
    [types.partitions, "0"],
    [types.partitions, "byCity=x"],
    [types.badBudget, "-1"],
    [types.badBudget, "200%"],
    [types.badBudget, "1.5"],
  ];
  for (const [type, text] of refused) {
    assert.throws(() => type.parse(text, "--flag"), { code: "USAGE", message: /--flag/ }, text);
  }
});
