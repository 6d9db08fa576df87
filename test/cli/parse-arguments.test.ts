import assert from "node:assert/strict";
import { test } from "node:test";
import { SheafError } from "#src/base/errors.js";
import { repeatedFlag, switchFlag, valueFlag } from "#src/cli/flag.js";
import {
  choiceType,
  durationType,
  fractionType,
  integerType,
  partitionsType,
  sizeType,
  stringType,
  badBudgetType,
  assignmentType,
} from "#src/cli/flag-type.js";
import { bindFlags, checkPositionals, tokenizeArguments } from "#src/cli/parse-arguments.js";

const about = { doc: "", category: "Job" } as const;
const flags = {
  output: valueFlag({ ...about, name: "output", short: "o", placeholder: "DIR", type: stringType }),
  workers: valueFlag({ ...about, name: "workers", short: "w", placeholder: "N", type: integerType(1, 8) }),
  noProgressTimeout: valueFlag({
    ...about,
    name: "no-progress-timeout",
    placeholder: "TIME",
    type: durationType,
  }),
  set: repeatedFlag({ ...about, name: "set", placeholder: "NAME=VALUE", type: assignmentType }),
  overwrite: switchFlag({ ...about, name: "overwrite" }),
  quiet: switchFlag({ ...about, name: "quiet", short: "q" }),
};

function parse(...words: string[]) {
  const { texts, positionals } = tokenizeArguments(words, flags, "run");
  return { values: bindFlags(texts, flags), positionals };
}

function refusal(...words: string[]): string {
  try {
    parse(...words);
  } catch (error) {
    assert.ok(error instanceof SheafError);
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
    load: () => assert.fail(),
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
    [sizeType(1), "64KiB", 65536],
    [durationType, "500ms", 500],
    [durationType, "1.5h", 5_400_000],
    [durationType, "0", 0],
    [fractionType, "1%", 0.01],
    [fractionType, "0.25", 0.25],
    [fractionType, "1", 1],
    [integerType(0), "10_000_000", 10_000_000],
    [choiceType(["a", "b"]), "b", "b"],
    [partitionsType, "8", { collection: undefined, count: 8 }],
    [partitionsType, "byCity=3", { collection: "byCity", count: 3 }],
    [badBudgetType, "100", 100],
    [badBudgetType, "0.01%", "0.01%"],
  ];
  for (const [type, text, value] of cases) assert.deepEqual(type.parse(text, "--x"), value, text);

  const refused: readonly [{ parse(text: string, what: string): unknown }, string][] = [
    [sizeType(1), "64 potatoes"],
    [sizeType(1024), "1023"],
    [durationType, "30"],
    [durationType, "-1s"],
    [fractionType, "0"],
    [fractionType, "101%"],
    [fractionType, "x"],
    [integerType(0), "1__0"],
    [integerType(0), ""],
    [choiceType(["a", "b"]), "c"],
    [partitionsType, "0"],
    [partitionsType, "byCity=x"],
    [badBudgetType, "-1"],
    [badBudgetType, "200%"],
    [badBudgetType, "1.5"],
  ];
  for (const [type, text] of refused) {
    assert.throws(() => type.parse(text, "--flag"), { code: "USAGE", message: /--flag/ }, text);
  }
});
