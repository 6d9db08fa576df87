import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePieces } from "#src/security/json-pieces.js";
import { JsonBounds, parseJson } from "#src/security/parse-json.js";
import { refuses } from "./support.js";

const bytes = (text: string): Uint8Array => Buffer.from(text);
const parse = (text: string): unknown => parseJson(bytes(text), { what: "the message" });

test("data comes out as JSON.parse gives it", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 10 }), (value) => {
      const text = JSON.stringify(value);
      if (!/__proto__|constructor/.test(text)) assert.deepEqual(parse(text), JSON.parse(text));
    }),
  );
  assert.deepEqual(parse('{"a":"[[[[{{{{\\"]]"}'), { a: '[[[[{{{{"]]' });
  assert.deepEqual(parse("\ufeff[1]"), [1]);
});

test("keys that reach prototypes are gone at every depth, however they are written; data of that name stays", () => {
  const cases: readonly (readonly [string, unknown])[] = [
    ['{"__proto__":{"x":1},"a":1}', { a: 1 }],
    ['{"a":[{"b":{"__proto__":null}}]}', { a: [{ b: {} }] }],
    [String.raw`{"\u005f_proto__":{"x":1}}`, {}],
    [String.raw`{"__\u0070roto__":{"x":1}}`, {}],
    ['{"constructor":{"prototype":{"x":1}},"a":1}', { a: 1 }],
    [String.raw`{"c\u006fnstructor":{"protot\u0079pe":1}}`, {}],
    ['{"constructor":3,"toString":1}', { constructor: 3, toString: 1 }],
    ['{"constructor":{"words":2}}', { constructor: { words: 2 } }],
    ['{"constructor":null}', { constructor: null }],
    ['"__proto__"', "__proto__"],
    ['["__proto__"]', ["__proto__"]],
  ];
  for (const [text, wanted] of cases) {
    const value = parse(text);
    assert.deepEqual(value, wanted, text);
    assert.ok(!JSON.stringify(value).includes('"__proto__":'));
  }
  const merged = Object.assign({}, parse('{"__proto__":{"admin":true}}')) as { readonly admin?: boolean };
  assert.equal(merged.admin, undefined);
  assert.equal(({} as { readonly admin?: boolean }).admin, undefined);
});

test("what is no JSON is refused without repeating it", () => {
  for (const text of [
    "",
    " ",
    "{",
    "[1,",
    '{"a":sheaf_c_secret}',
    "undefined",
    "NaN",
    "{'a':1}",
    "1 2",
    "]",
    '"a',
  ])
    assert.doesNotMatch(
      refuses(() => parse(text), "MESSAGE_INVALID", /the message is no JSON/).message,
      /secret/,
    );
  refuses(
    () => parseJson(Uint8Array.of(0x22, 0xff, 0x22), { what: "it" }),
    "MESSAGE_INVALID",
    /it is no UTF-8/,
  );
  refuses(
    () => parseJson(Uint8Array.of(0xed, 0xa0, 0x80), { what: "it" }),
    "MESSAGE_INVALID",
    /it is no UTF-8/,
  );
});

test("what is too large or too deep is refused before it is parsed", () => {
  refuses(
    () => parseJson(bytes("[1,2]"), { what: "it", bytesMax: 4 }),
    "LIMIT_EXCEEDED",
    /it has more than 4 B/,
  );
  assert.deepEqual(parseJson(bytes("[1,2]"), { what: "it", bytesMax: 5 }), [1, 2]);
  const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);
  parse(nested(64));
  refuses(() => parse(nested(65)), "MESSAGE_INVALID", /more than 64 levels/);
  refuses(() => parse("[".repeat(1_000_000)), "MESSAGE_INVALID", /more than 64 levels/);
  refuses(() => parse('{"a":'.repeat(100_000)), "MESSAGE_INVALID", /more than 64 levels/);
  assert.equal((parse(`["${"[".repeat(100_000)}"]`) as string[]).length, 1);
  assert.equal((parse(`["${String.raw`\"[`.repeat(100_000)}"]`) as string[]).length, 1);
});

test("bytes at random are refused or parsed, and nothing else happens", () => {
  const piece = fc.constantFrom(
    "[",
    "]",
    "{",
    "}",
    '"',
    "\\",
    ",",
    ":",
    "1",
    "null",
    '"__proto__"',
    "\u0000",
    "é",
    "\\u005f",
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.array(piece).map((all) => bytes(all.join(""))),
      ),
      (given) => {
        let ours: unknown;
        try {
          ours = parseJson(given, { what: "it" });
        } catch (error) {
          assert.match(String(error), /SheafError/);
          return;
        }
        assert.deepEqual(typeof ours, typeof JSON.parse(new TextDecoder().decode(given)));
      },
    ),
    { numRuns: 2_000 },
  );
});

/** Depth and number of values of a JSON text, the slow way. */
function shapeOf(text: string): { readonly depth: number; readonly values: number } {
  let [depth, deepest, values] = [0, 0, 1];
  // Strings whole; one that is not ended reaches to the end.
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\[^])*(?:"|\\?$)|[^"]/g)) {
    if (/^[[{,]$/.test(token)) values++;
    if (/^[[{]$/.test(token)) deepest = Math.max(deepest, ++depth);
    if (/^[\]}]$/.test(token)) depth--;
  }
  return { depth: deepest, values };
}

test("bounds are those of the text, in whatever pieces it comes", () => {
  const piece = fc.constantFrom(...'[]{},:""\\\\a1 '.split(""), '\\"', '"\\\\"', "é");
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), fc.infiniteStream(fc.nat({ max: 5 })), (pieces, cuts) => {
      const text = pieces.join("");
      const { depth, values } = shapeOf(text);
      const take = (depthMax: number, valuesMax: number): boolean => {
        const bounds = new JsonBounds({ what: "it", depthMax, valuesMax });
        const all = bytes(text);
        try {
          for (let at = 0, to = 0; at < all.length; at = to) {
            to = at + cuts.next().value;
            bounds.take(all.subarray(at, to));
          }
          return true;
        } catch (error) {
          assert.match(String(error), /levels deep|more than \d+ values/);
          return false;
        }
      };
      assert.ok(take(depth, values), `${text} has ${depth} levels, ${values} values`);
      if (depth > 0) assert.ok(!take(depth - 1, values), text);
      if (values > 1) assert.ok(!take(depth, values - 1), text);
    }),
    { numRuns: 3_000 },
  );
});

/** All pieces, one after the other; what it throws as it says it. */
function inPieces(text: string | Uint8Array, pieceBytes: number): unknown {
  const pieces = parsePieces(typeof text === "string" ? bytes(text) : text, "the message", pieceBytes);
  for (;;) {
    const { done, value } = pieces.next();
    if (done === true) return value;
  }
}

function outcome(work: () => unknown): unknown {
  try {
    return { value: work() };
  } catch (error) {
    return (error as { readonly code?: string }).code;
  }
}

test("in pieces of any size the same comes out, or the same is refused", () => {
  const texts = [
    "", " ", "1", '"a"', "[]", "{}", "[1]", "[[1,2],[3]]", "[[1,2] [3]]", "[[1,2],]", "[,1]", "[1,,2]", "[1,2", "1,2",
    "]", "[1}", "{1}", '{"a":1,"b":[2,{"c":3}],"d":{}}', '{"a":1,}', '{"a" [1,2,3]}', '{"a":,"b":1}', '{[1,2]:1}',
    '{"a":[1,2,3] "b":1}', '{"a":[1,2,3],"a":4,"1":5,"a":[6,7,8]}', '{"2":[1,2,3,4],"1":[5,6,7,8]}', "\ufeff[1,2,3]",
    "[1,\ufeff2]", "[\ufeff[1,2,3]]", "[\u00a0[1,2,3]]", '{"a":\u00a0[1,2,3]}', "[[[[[1,2],3],4],5],6]",
    String.raw`["\\","\"",[1,"]\\\"[,{"]]`, '{"__proto__":[1,2,3],"a":1}', '[{"__proto__":{"x":1,"y":2}},3]',
    '{"constructor":{"a":1,"prototype":{"x":[1,2,3]}},"b":1}', String.raw`{"\u005f_proto__":[1,2,3,4],"b":2}`,
    '[[1,2,3]]]', '[[1,2,3]', '[[1,2,3]],', ' [ [ 1 , 2 ] , { "a" : [ 3 , 4 ] } ] ', '{"constructor":[1,2],"c":{}}',
  ]; // prettier-ignore
  for (const text of texts)
    for (let pieceBytes = 1; pieceBytes <= bytes(text).length + 1; pieceBytes++)
      assert.deepEqual(
        outcome(() => inPieces(text, pieceBytes)),
        outcome(() => parse(text)),
        `${text} in pieces of ${pieceBytes}`,
      );
  const broken = fc.array(fc.constantFrom("[", "]", "{", "}", ",", ":", "1", '"a"', '"', "\\", " ", "é"), {
    maxLength: 20,
  });
  const right = fc.jsonValue({ maxDepth: 6 }).map((value) => JSON.stringify(value));
  const anyText = fc.oneof(
    right,
    broken.map((words) => words.join("")),
    fc.tuple(right, fc.nat(), fc.nat(3)).map(([text, at, cut]) => {
      const from = at % (text.length + 1);
      return text.slice(0, from) + text.slice(from + cut);
    }),
  );
  fc.assert(
    fc.property(anyText, fc.integer({ min: 1, max: 40 }), (text, pieceBytes) => {
      assert.deepEqual(
        outcome(() => inPieces(text, pieceBytes)),
        outcome(() => parse(text)),
      );
    }),
    { numRuns: 3_000 },
  );
  const cutLetter = Buffer.concat([bytes('["'), Buffer.from([0xc3]), bytes('",1]')]);
  for (const pieceBytes of [1, 3, 100])
    assert.equal(
      outcome(() => inPieces(cutLetter, pieceBytes)),
      "MESSAGE_INVALID",
    );
});

test("a piece is parsed in each turn, and no more, however the text is made", () => {
  const many = 100_000;
  const texts = [
    `[${"0,".repeat(many)}0]`,
    `{"a":[${'{"b":1,"c":[]},'.repeat(many)}{}]}`,
    "[".repeat(1_000) + "1,".repeat(many) + "1" + "]".repeat(1_000),
    `[${`${"[".repeat(900)}1,2${"]".repeat(900)},`.repeat(200)}1]`,
    `{${Array.from({ length: many }, (_, index) => `"k${index}":1`).join(",")}}`,
  ];
  for (const text of texts) {
    const pieces = parsePieces(bytes(text), "it", 10_000);
    let turns = 1;
    for (let next = pieces.next(); ; next = pieces.next()) {
      if (next.done !== true) turns++;
      else {
        assert.deepEqual(next.value, JSON.parse(text));
        break;
      }
    }
    assert.ok(turns >= Math.floor(text.length / 10_000), `${turns} turns for ${text.length} bytes`);
  }
});

test("one text or number that is too long is refused while it comes", () => {
  const limitsOf = { what: "it", tokenBytesMax: 1_000 };
  const taken = (...chunks: string[]): void => {
    const bounds = new JsonBounds(limitsOf);
    for (const chunk of chunks) bounds.take(bytes(chunk));
  };
  const long = "1".repeat(600);
  taken(`["${long}"`, `,"${long}"`, `,${long}`, `,${long}]`);
  taken(" ".repeat(3_000), "[", " ".repeat(3_000), "]");
  for (const chunks of [[`["${long}`, long], [long, long, long], [`["${long}${long}"]`]])
    refuses(() => taken(...chunks), "LIMIT_EXCEEDED", /it holds a text or number of more than/);
});
