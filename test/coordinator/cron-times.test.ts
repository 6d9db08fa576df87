import assert from "node:assert/strict";
import { test } from "node:test";
import { isSheafError } from "#src/base/errors.js";
import { CronTimes } from "#src/coordinator/cron-times.js";

/** What the clocks of a zone show, as numbers; every minute is asked of the system's calendar. */
class Clocks {
  readonly #format: Intl.DateTimeFormat;

  constructor(timeZone: string) {
    const numeric = {
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
    } as const;
    this.#format = new Intl.DateTimeFormat("en-US", { timeZone, hourCycle: "h23", ...numeric });
  }

  /** The same as a time of UTC that is shown alike. */
  at(ms: number): number {
    const parts = new Map(this.#format.formatToParts(ms).map(({ type, value }) => [type, Number(value)]));
    const [year, month, day] = [parts.get("year")!, parts.get("month")!, parts.get("day")!];
    return Date.UTC(year, month - 1, day, parts.get("hour")!, parts.get("minute")!);
  }
}

function field(text: string, from: number, to: number): Set<number> {
  const values = new Set<number>();
  for (const part of text.split(",")) {
    const [range = "", step = "1"] = part.split("/");
    const [first, last = first] = range === "*" ? [from, to] : range.split("-").map(Number);
    for (let value = first!; value <= last!; value += Number(step)) values.add(value);
  }
  return values;
}

/** The naive way: every minute is looked at. */
function naive(pattern: string, timeZone: string, fromMs: number, toMs: number): number[] {
  const [minute = "", hour = "", day = "", month = "", weekday = ""] = pattern.split(" ");
  const minutes = field(minute, 0, 59);
  const hours = field(hour, 0, 23);
  const days = field(day, 1, 31);
  const months = field(month, 1, 12);
  const weekdays = new Set([...field(weekday, 0, 7)].map((one) => one % 7));
  const fits = (shown: number): boolean => {
    const at = new Date(shown);
    const [isDay, isWeekday] = [days.has(at.getUTCDate()), weekdays.has(at.getUTCDay())];
    const onDay = day === "*" || weekday === "*" ? isDay && isWeekday : isDay || isWeekday;
    return (
      onDay &&
      minutes.has(at.getUTCMinutes()) &&
      hours.has(at.getUTCHours()) &&
      months.has(at.getUTCMonth() + 1)
    );
  };
  const isOfDay = /^\d+$/.test(minute) && /^\d+$/.test(hour);
  const clocks = new Clocks(timeZone);
  const seen = new Set<number>();
  const found: number[] = [];
  let before = clocks.at(fromMs - 60_000);
  for (let ms = fromMs; ms < toMs; ms += 60_000) {
    const shown = clocks.at(ms);
    let comes = fits(shown) && !(isOfDay && seen.has(shown));
    if (isOfDay) for (let gone = before + 60_000; gone < shown; gone += 60_000) comes ||= fits(gone);
    if (comes) found.push(ms);
    seen.add(shown);
    before = shown;
  }
  return found;
}

const patterns = [
  "30 2 * * *",
  "0 2 * * *",
  "0 0 * * *",
  "30 0 * * *",
  "0 3 * * *",
  "*/30 * * * *",
  "15 1-3 * * *",
  "*/20 2 * * *",
  "0,30 2 * * *",
  "15 */2 * * *",
  "0 0 1 * *",
  "0 12 * * 1-5",
  "0 1 13 * 5",
  "5 4 * * 7",
];

// Three days around each change of the clocks: by an hour, by half of one, at midnight, and of no day.
const places: readonly (readonly [zone: string, day: string])[] = [
  ["Europe/Berlin", "2026-03-28"],
  ["Europe/Berlin", "2026-10-24"],
  ["America/New_York", "2026-03-07"],
  ["America/New_York", "2026-10-31"],
  ["Australia/Lord_Howe", "2026-04-04"],
  ["Australia/Lord_Howe", "2026-10-03"],
  ["America/Havana", "2026-03-07"],
  ["Africa/Cairo", "2026-10-29"],
  ["Asia/Kathmandu", "2026-03-01"],
  ["UTC", "2028-02-28"],
];

test("the times of a pattern are those of the clocks that people look at, also where these are changed", () => {
  for (const [zone, day] of places) {
    const fromMs = Date.parse(`${day}T00:00:00Z`);
    const toMs = fromMs + 2.2 * 86_400_000;
    for (const pattern of patterns) {
      const times = new CronTimes(pattern, zone, fromMs);
      const found: number[] = [];
      for (let ms = times.after(fromMs - 1); ms !== null && ms < toMs; ms = times.after(ms)) found.push(ms);
      const text = (all: number[]) => all.map((ms) => new Date(ms).toISOString()).join(" ");
      assert.equal(
        text(found),
        text(naive(pattern, zone, fromMs, toMs)),
        `${pattern} in ${zone} from ${day}`,
      );
    }
  }
});

test("a job of a time of day runs once on each day, those of 23 and 25 hours too", () => {
  const fromMs = Date.parse("2026-01-01T00:00:00Z");
  for (const zone of ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana"]) {
    for (const pattern of ["30 2 * * *", "0 0 * * *", "15 1 * * *"]) {
      const times = new CronTimes(pattern, zone, fromMs);
      const days = new Set<number>();
      let count = 0;
      for (let ms = times.after(fromMs)!; count < 365; ms = times.after(ms)!, count++)
        days.add(Math.floor(new Clocks(zone).at(ms) / 86_400_000));
      assert.equal(days.size, 365, `${pattern} in ${zone}`);
    }
  }
});

test("what is no pattern, no zone or never comes is refused, saying what to write", () => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ["0 3 * *", "UTC", /no cron pattern/],
    ["0 0 3 * * *", "UTC", /no cron pattern/],
    ["60 3 * * *", "UTC", /no cron pattern/],
    ["0 24 * * *", "UTC", /no cron pattern/],
    ["every day", "UTC", /no cron pattern/],
    ["*/0 * * * *", "UTC", /no cron pattern/],
    ["2026-12-01T00:00:00", "UTC", /no cron pattern/],
    ["", "UTC", /no cron pattern/],
    ["0 3 30 2 *", "UTC", /never comes/],
    ["0 3 * * *", "Mars/Olympus", /no time zone/],
    ["0 3 * * *", "", /no time zone/],
  ];
  for (const [pattern, zone, says] of cases) {
    assert.throws(
      () => new CronTimes(pattern, zone, 0),
      (error) =>
        isSheafError(error) && error.code === "USAGE" && says.test(error.message) && error.hint !== undefined,
      pattern,
    );
  }
});
