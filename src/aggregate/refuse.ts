import { SheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";

/** A value an aggregator cannot take. */
export function refuseValue(kind: string, value: unknown, wanted: string, hint: string): SheafError {
  return new SheafError("VALUE_INVALID", `${kind}(): ${printValue(value)} is not ${wanted}`, { hint });
}

/** A value that should be a finite number and is not. */
export function refuseNumber(kind: string, value: unknown): SheafError {
  const hint =
    typeof value === "bigint"
      ? "Use sumBig() for bigints, or emit Number(value)."
      : typeof value === "string"
        ? "Emit a number: Number(text) makes one, and is NaN when the text is none."
        : "Emit finite numbers; leave out or replace what is not one in map.";
  return refuseValue(kind, value, "a finite number", hint);
}

/** A result beyond what a double can say. */
export function refuseOverflow(kind: string): SheafError {
  return new SheafError(
    "NUMBER_RANGE",
    `${kind}(): the values add up to more than a number can hold (1.8e308)`,
    {
      hint: "Scale the values down in map.",
    },
  );
}

/** A result that rounding on the way may have changed. */
export function refuseUnsettled(kind: string): SheafError {
  return new SheafError(
    "NUMBER_RANGE",
    `${kind}(): the values differ so much in size that what is left of them is lost in rounding`,
    {
      hint: "Scale the values in map to between 1e-140 and 1e140, or give those of other sizes another key.",
    },
  );
}

/** An argument of an aggregator that makes no sense. */
export function refuseArgument(kind: string, what: string, hint: string): SheafError {
  return new SheafError("JOB_INVALID", `${kind}(): ${what}`, { hint });
}

/** More values for one key than the aggregator was told to hold. */
export function refuseMore(kind: string, max: number, what: string, hint: string): SheafError {
  return new SheafError("VALUE_INVALID", `${kind}(): more than ${max} ${what} for one key`, { hint });
}

/** Checks an option that is a positive integer. */
export function positiveInteger(kind: string, name: string, value: unknown): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value > 0) return value;
  throw refuseArgument(kind, `${name} is ${printValue(value)}`, `Give ${name} as an integer of at least 1.`);
}
