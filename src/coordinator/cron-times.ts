import { Cron } from "croner";
import { SheafError, describeThrown } from "../base/errors.ts";

/**
 * The times of a cron pattern: minute, hour, day of month, month and day of week (where both days are given,
 * either of them), or "@daily" and the like, by the clocks of a time zone.
 *
 * Where clocks are put forward or back: a pattern whose minute and hour are plain numbers comes once a day,
 * at the end of the gap that its time falls into, and the first of two times of the same name. Any other
 * comes whenever the clocks show what it says: not in a gap, and twice in an hour that comes twice.
 */
export class CronTimes {
  readonly #cron: Cron;

  /** @throws SheafError USAGE for what is no pattern or no time zone, or for a time that never comes */
  constructor(pattern: string, timeZone: string, nowMs: number) {
    try {
      new Intl.DateTimeFormat("en", { timeZone });
    } catch (cause) {
      throw new SheafError("USAGE", `"${timeZone}" is no time zone that is known here`, {
        hint: 'Give an IANA name: "Europe/Berlin", "America/New_York", "UTC".',
        cause,
      });
    }
    try {
      // The library would also take dates, and seconds.
      if (pattern.trim().split(/\s+/).length !== 5 && !/^@[a-z]+$/i.test(pattern))
        throw new Error("it has not five fields");
      this.#cron = new Cron(pattern, { timezone: timeZone, paused: true, mode: "5-part" });
    } catch (cause) {
      throw new SheafError("USAGE", `"${pattern}" is no cron pattern: ${describeThrown(cause)}`, {
        hint: 'Give minute, hour, day of month, month and day of week: "0 3 * * *" is 3:00 every day.',
        cause,
      });
    }
    if (this.after(nowMs) !== null) return;
    throw new SheafError("USAGE", `"${pattern}" is a time that never comes`, {
      hint: "Is there such a day in that month?",
    });
  }

  /** The first time later than that, ms; null: there is none. */
  after(ms: number): number | null {
    return this.#cron.nextRun(new Date(ms))?.getTime() ?? null;
  }
}
