import assert from "node:assert/strict";
import { test } from "node:test";
import { pathsByInput } from "#src/engine/inputs.js";

const several = { inputs: [{ name: "customers" }, { name: "orders" }] };

test("paths are those of the inputs they name, in the order of the inputs", () => {
  const given: readonly [texts: readonly string[], paths: readonly (readonly string[])[]][] = [
    [
      ["orders=o", "customers=c"],
      [["c"], ["o"]],
    ],
    [
      ["customers=-", "orders=a", "orders=b"],
      [["-"], ["a", "b"]],
    ],
    [
      ["customers=day=1/c.csv", "orders==x"],
      [["day=1/c.csv"], ["=x"]],
    ],
    [
      ["customers=agent:/data/*.csv", "orders=./customers=c"],
      [["agent:/data/*.csv"], ["./customers=c"]],
    ],
    [
      ["customers= c", "orders=o/{a,b=c}"],
      [[" c"], ["o/{a,b=c}"]],
    ],
  ];
  for (const [texts, paths] of given) assert.deepEqual(pathsByInput(several, texts), paths);
});

test("texts are paths where there is one input", () => {
  for (const texts of [[], ["customers=c", "=", "-"]]) assert.deepEqual(pathsByInput({}, texts), [texts]);
});

test("what belongs to no input is refused, and an input without a path", () => {
  const wrong: readonly [texts: readonly string[], message: string, hint: string][] = [
    [["c.csv", "orders=o"], "c.csv does not say which", "customers=c.csv"],
    [["custmers=c", "orders=o"], 'custmers=c: the job has no input "custmers"', "customers=c"],
    [["Customers=c", "orders=o"], 'the job has no input "Customers"', "customers=c"],
    [["customers =c", "orders=o"], 'the job has no input "customers "', "customers=c"],
    [["./customers=c", "orders=o"], 'the job has no input "./customers"', "=c"],
    [["=c", "orders=o"], 'the job has no input ""', "=c"],
    [["customers=", "orders=o"], "customers= names no path", "customers=PATH"],
    [["customers=c"], 'there is no path for the input "orders"', "orders=PATH"],
    [[], 'there is no path for the input "customers"', "customers=PATH"],
    [["-"], "- does not say which", "customers=-"],
  ];
  for (const [texts, message, hint] of wrong) {
    assert.throws(
      () => pathsByInput(several, texts),
      (error: { code?: string; message?: string; hint?: string }) => {
        assert.equal(error.code, "USAGE");
        assert.ok(error.message?.includes(message), error.message);
        assert.ok(error.hint?.includes("The job reads customers, orders."), error.hint);
        assert.ok(error.hint?.includes(hint), error.hint);
        return true;
      },
    );
  }
});
