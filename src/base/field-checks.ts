import { printValue } from "./print-value.ts";

/* Checks of data that comes from elsewhere, field by field: light enough for what starts with every task. */

/** Throws WrongField naming the field when the value is not of the form. */
export type Check = (value: unknown, field: string) => void;

/** Whoever checks says of what it is a field, and what to do. */
export class WrongField extends Error {}

export function wrong(field: string, problem: string): WrongField {
  return new WrongField(`${field}: ${problem}`);
}

const listMax = 1_000_000;

export function check(is: (value: unknown) => boolean, what: string): Check {
  return (value, field) => {
    if (!is(value)) throw wrong(field, `${printValue(value)} is not ${what}`);
  };
}

export const whole = check(
  (value) => Number.isSafeInteger(value) && (value as number) >= 0,
  "a whole number",
);
export const finite = check((value) => Number.isFinite(value), "a finite number");
export const flag = check((value) => typeof value === "boolean", "true or false");
export const anything: Check = () => undefined;

export function textUpTo(charsMax: number): Check {
  return check(
    (value) => typeof value === "string" && value.length <= charsMax,
    `a text of ${charsMax} characters at most`,
  );
}

export function oneOf(...words: readonly string[]): Check {
  return check((value) => words.includes(value as string), `one of ${words.join(", ")}`);
}

export function orNull(inner: Check): Check {
  return (value, field) => {
    if (value !== null) inner(value, field);
  };
}

/** For a field that may be left out. */
export function optional(inner: Check): Check {
  return (value, field) => {
    if (value !== undefined) inner(value, field);
  };
}

export function list(inner: Check, lengthMax: number = listMax): Check {
  return (value, field) => {
    if (!Array.isArray(value) || value.length > lengthMax)
      throw wrong(field, `${printValue(value)} is not a list of ${lengthMax} at most`);
    for (let index = 0; index < value.length; index++) inner(value[index], field);
  };
}

/** An object with these fields and no others. */
export function fields(shape: Readonly<Record<string, Check>>): Check {
  const names = Object.keys(shape);
  return (value, field) => {
    plainObject(value, field);
    for (const name of names) shape[name]!((value as Record<string, unknown>)[name], `${field}.${name}`);
    for (const name of Object.keys(value as object))
      if (!Object.hasOwn(shape, name)) throw wrong(field, `it has a field ${printValue(name)}`);
  };
}

export const plainObject: Check = check(
  (value) => typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype,
  "an object",
);
