import { isSheafError, SheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import type { Aggregator, NumberFold, NumericOp, NumericState } from "../job/aggregator.ts";
import { isAggregator } from "../job/aggregator.ts";
import { foldNumber, planFolds } from "./fold-number.ts";
import { numericAggregator } from "./numeric-aggregator.ts";
import { slotsOf } from "./numeric-row.ts";
import { refuseArgument, refuseValue } from "./refuse.ts";

export type StatsMembers = Readonly<Record<string, Aggregator<never, unknown>>>;

/** What an aggregator takes. */
export type ValueOf<A> = A extends Aggregator<infer V, unknown> ? V : never;

/** What an aggregator makes. */
export type ResultOf<A> = A extends Aggregator<never, infer O> ? O : never;

/** An object with a field for each member, optional where the member takes `undefined` (`count()`) ... */
type StatsFields<M extends StatsMembers> = {
  readonly [N in keyof M as undefined extends ValueOf<M[N]> ? never : N]: ValueOf<M[N]>;
} & { readonly [N in keyof M as undefined extends ValueOf<M[N]> ? N : never]?: ValueOf<M[N]> };

/** ... or, when every member takes a plain number, one number for all of them. */
type NumberForAll<M extends StatsMembers> = [
  { [N in keyof M]: number extends ValueOf<M[N]> ? never : N }[keyof M],
] extends [never]
  ? number
  : never;

export type StatsValue<M extends StatsMembers> = StatsFields<M> | NumberForAll<M>;

export type StatsResult<M extends StatsMembers> = { [N in keyof M]: ResultOf<M[N]> };

type AnyMember = Aggregator<unknown, unknown>;

/**
 * Several aggregators side by side; the result is an object with their results. Members can be `stats`
 * themselves.
 *
 * Values: an object with a value for each member (`stats({ plays: count(), stake: sum() })` takes `{ stake:
 * 5 }`), or, when every member takes numbers, a plain number that all of them get (`stats({ min: min(),
 * max: max() })` takes 5). Errors are those of the members, with the member's name.
 */
export function stats<const M extends StatsMembers>(
  members: M,
): Aggregator<StatsValue<M>, StatsResult<M>, unknown> {
  const named = Object.entries(members) as [string, AnyMember][];
  if (named.length === 0)
    throw refuseArgument("stats", "it has no members", "Name at least one: stats({ n: count() }).");
  for (const [name, member] of named) {
    if (isAggregator(member)) continue;
    const hint = "Members are aggregators, called: stats({ n: count() }).";
    throw refuseArgument("stats", `member "${name}" is ${printValue(member)}`, hint);
  }
  const spec = named.map(([name, member]) => [name, member.kind, member.spec]);
  const rows = named.map(([, member]) => member.numeric);
  const made = rows.every((row) => row !== undefined)
    ? numericAggregator(
        "stats",
        spec,
        numericStats(
          named.map(([name]) => name),
          rows,
        ),
      )
    : genericStats(spec, named);
  return { ...made, members } as Aggregator<StatsValue<M>, StatsResult<M>, unknown>;
}

type Row = NumericState<unknown, unknown>;

/** The members' rows one after the other. */
function numericStats(names: readonly string[], rows: readonly Row[]): Row {
  const ops: NumericOp[] = rows.flatMap((row) => [...row.ops]);
  const places = rows.map((_, i) => slotsOf(rows.slice(0, i).flatMap((row) => [...row.ops])));
  const folds: NumberFold[] | undefined = rows.every((row) => row.folds !== undefined)
    ? rows.flatMap((row) => [...row.folds!])
    : undefined;
  const plan = folds === undefined ? undefined : planFolds(ops, folds);
  const before = new Float64Array(slotsOf(ops));
  // All members or none: a value that one of them refuses may be skipped, and then nothing of it must stay.
  const addFields = (row: Float64Array, at: number, value: unknown): void => {
    const fields = typeof value === "number" ? undefined : fieldsOf(value);
    for (let slot = 0; slot < before.length; slot++) before[slot] = row[at + slot]!;
    for (let i = 0; i < rows.length; i++) {
      try {
        rows[i]!.add(row, at + places[i]!, fields === undefined ? value : fields[names[i]!]);
      } catch (error) {
        row.set(before, at);
        throw nameMember(names[i]!, error);
      }
    }
  };
  return {
    ops,
    ...(folds !== undefined && { folds }),
    ...(rows.every((row) => row.takesNumber === true) && { takesNumber: true }),
    add(row, at, value) {
      if (plan !== undefined && Number.isFinite(value)) foldNumber(plan, row, at, value as number);
      else addFields(row, at, value);
    },
    result: (row, at) => resultsOf(names, (i) => rows[i]!.result(row, at + places[i]!)),
  };
}

function genericStats(
  spec: unknown,
  named: readonly [string, AnyMember][],
): Aggregator<unknown, unknown, unknown[]> {
  const names = named.map(([name]) => name);
  const members = named.map(([, member]) => member);
  const check = (state: unknown[], value: unknown): void => {
    const fields = typeof value === "number" ? undefined : fieldsOf(value);
    for (let i = 0; i < members.length; i++) {
      try {
        checkMember(members[i]!, state[i], fields === undefined ? value : fields[names[i]!]);
      } catch (error) {
        throw nameMember(names[i]!, error);
      }
    }
  };
  return {
    kind: "stats",
    spec,
    commutative: members.every((member) => member.commutative === true),
    empty: () => members.map((member) => member.empty()),
    add(state, value) {
      check(state, value);
      for (let i = 0; i < members.length; i++) {
        const own = typeof value === "number" ? value : fieldsOf(value)[names[i]!];
        state[i] = members[i]!.add(state[i], own);
      }
      return state;
    },
    check,
    merge(left, right) {
      for (let i = 0; i < members.length; i++) {
        try {
          left[i] = members[i]!.merge(left[i], right[i]);
        } catch (error) {
          throw nameMember(names[i]!, error);
        }
      }
      return left;
    },
    result: (state) => resultsOf(names, (i) => members[i]!.result(state[i])),
    pack: (state) => members.map((member, i) => member.pack(state[i])),
    unpack: (data) => members.map((member, i) => member.unpack((data as unknown[])[i])),
    sizeOf: (state) => members.reduce((bytes, member, i) => bytes + member.sizeOf(state[i]), 64),
  };
}

function checkMember(member: AnyMember, state: unknown, value: unknown): void {
  if (member.check === undefined) member.add(member.empty(), value);
  else member.check(state, value);
}

function resultsOf(names: readonly string[], resultAt: (member: number) => unknown): unknown {
  return Object.fromEntries(
    names.map((name, i) => {
      try {
        return [name, resultAt(i)];
      } catch (error) {
        throw nameMember(name, error);
      }
    }),
  );
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null) return value as Readonly<Record<string, unknown>>;
  const hint = "Emit an object with a field for each member, or one number when all members take numbers.";
  throw refuseValue("stats", value, "an object with the members' values", hint);
}

/**
 * The error of a member, under its name: "stats.stake: sum(): ..."; nested names join: "stats.win.stake:
 * ...".
 */
function nameMember(name: string, error: unknown): unknown {
  if (!isSheafError(error)) return error;
  const message = error.message.startsWith("stats.")
    ? `stats.${name}.${error.message.slice("stats.".length)}`
    : `stats.${name}: ${error.message}`;
  return new SheafError(error.code, message, {
    ...(error.hint !== undefined && { hint: error.hint }),
    cause: error,
  });
}
