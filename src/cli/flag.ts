import type { FlagType } from "./flag-type.ts";

/** In the order help shows them. */
export const flagCategories = ["Input", "Output", "Job", "Execution", "Cluster", "Display"] as const;
export type FlagCategory = (typeof flagCategories)[number];

/** What every flag says about itself; help, completion and docs/cli.md are made from this. */
export interface FlagText {
  /** Without the dashes: "split-size". */
  readonly name: string;
  /** One letter, for `-w`. */
  readonly short?: string;
  /** One line, no full stop. */
  readonly doc: string;
  /** More sentences, for `--help` and the docs. */
  readonly details?: string;
  readonly category: FlagCategory;
  /** What happens when it is not given, as people would say it: "256 MiB". */
  readonly default?: string;
}

/** A flag as one value. `T` is what a command gets to see, including undefined when it need not be given. */
export interface Flag<out T> extends FlagText {
  /**
   * `switch`: no argument, `--no-name` is its opposite. `one`: an argument, once. `many`: may be repeated.
   * `optional`: an argument, but only behind "=", or none.
   */
  readonly arity: "switch" | "one" | "many" | "optional";
  /** What the argument is called in help: "SIZE". Absent for switches. */
  readonly placeholder?: string;
  /** How the argument is read; absent for switches. */
  readonly type?: FlagType<unknown>;
  /** The value for these arguments, in the order given; for a switch "true" or "false". Empty: not given. */
  bind(texts: readonly string[]): T;
}

export type FlagSet = Readonly<Record<string, Flag<unknown>>>;

/** The values a command gets for its flags. */
export type FlagValues<F extends FlagSet> = {
  readonly [K in keyof F]: F[K] extends Flag<infer T> ? T : never;
};

/** On or off; undefined when neither was said. */
export function switchFlag(text: FlagText): Flag<boolean | undefined> {
  return {
    ...text,
    arity: "switch",
    bind: (texts) => (texts.length === 0 ? undefined : texts[0] === "true"),
  };
}

/** A flag with an argument; undefined when not given, so that the layer that owns the default applies it. */
export function valueFlag<T>(
  text: FlagText & { readonly placeholder: string; readonly type: FlagType<T> },
): Flag<T | undefined> {
  return {
    ...text,
    arity: "one",
    bind: (texts) => (texts.length === 0 ? undefined : text.type.parse(texts[0]!, `--${text.name}`)),
  };
}

/** A flag that may stand alone and then means `alone`; its argument, if any, comes behind "=". */
export function optionalFlag<T>(
  text: FlagText & { readonly placeholder: string; readonly type: FlagType<T>; readonly alone: T },
): Flag<T | undefined> {
  return {
    ...text,
    arity: "optional",
    bind: ([given]) =>
      given === undefined ? undefined : given === "" ? text.alone : text.type.parse(given, `--${text.name}`),
  };
}

/** A flag that may be given several times; empty when not given. */
export function repeatedFlag<T>(
  text: FlagText & { readonly placeholder: string; readonly type: FlagType<T> },
): Flag<readonly T[]> {
  return {
    ...text,
    arity: "many",
    bind: (texts) => texts.map((one) => text.type.parse(one, `--${text.name}`)),
  };
}
