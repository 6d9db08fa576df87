import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { fromWireValue, toWireJson } from "#src/base/wire-json.js";

test("what goes over the wire comes back as it was, bigints at any depth, and is plain JSON without them", () => {
  const value = fc.letrec<{ any: unknown }>((tie) => ({
    any: fc.oneof(
      { maxDepth: 4 },
      fc.bigInt(),
      fc.double({ noDefaultInfinity: true, noNaN: true }).map((one) => one + 0),
      fc.string({ unit: "grapheme" }),
      fc.constantFrom(true, false, null),
      fc.array(tie("any"), { maxLength: 4 }),
      fc.dictionary(
        fc.string({ minLength: 1 }).filter((name) => name !== "__proto__"),
        tie("any"),
        {
          maxKeys: 4,
          noNullPrototype: true,
        },
      ),
    ),
  })).any;
  fc.assert(fc.property(value, (one) => assert.deepEqual(fromWireValue(JSON.parse(toWireJson(one))), one)));
  fc.assert(fc.property(fc.jsonValue(), (one) => assert.equal(toWireJson(one), JSON.stringify(one))));
  assert.equal(toWireJson({ a: [1n, { b: -2n }] }), '{"a":[{"$bigint":"1"},{"b":{"$bigint":"-2"}}]}');
});
