import fc from "fast-check";
import assert from "node:assert/strict";
import { isSheafError } from "#src/base/errors.js";
import type { ErrorCode, SheafError } from "#src/base/errors.js";

/** Asserts that it throws a SheafError of this code, with a hint, whose message fits. Returns the error. */
export function refuses(act: () => unknown, code: ErrorCode, message: RegExp): SheafError {
  let thrown: unknown;
  assert.throws(
    () => act(),
    (error) => {
      thrown = error;
      return true;
    },
    `nothing was refused where ${code} ${message} should be`,
  );
  return checked(thrown, code, message);
}

/** The same of something asynchronous. */
export async function rejects(
  act: () => Promise<unknown>,
  code: ErrorCode,
  message: RegExp,
): Promise<SheafError> {
  let thrown: unknown;
  await assert.rejects(
    act,
    (error) => {
      thrown = error;
      return true;
    },
    `nothing was refused where ${code} ${message} should be`,
  );
  return checked(thrown, code, message);
}

function checked(thrown: unknown, code: ErrorCode, message: RegExp): SheafError {
  assert.ok(isSheafError(thrown), `not a SheafError: ${String(thrown)}`);
  assert.equal(thrown.code, code, thrown.message);
  assert.match(thrown.message, message);
  assert.ok((thrown.hint ?? "").length > 10, `no hint: ${thrown.message}`);
  return thrown;
}

/** Texts of any UTF-16 units, halves of pairs and controls included. */
export const anyText = fc
  .array(fc.oneof(fc.nat({ max: 0x2ff }), fc.nat({ max: 0xffff })), { maxLength: 20 })
  .map((units) => String.fromCharCode(...units));
