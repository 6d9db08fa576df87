/** The forms that parseIsoDate reads, for messages. */
export const ISO_DATE_FORMS =
  "YYYY-MM-DD, YYYY-MM or YYYYMMDD, alone or with a time: " +
  "2024-03-10T14:30, 2024-03-10 14:30:05.250+02:00, 20240310T143005Z; UTC where no offset is given";

// Year, month, day; hours, minutes, seconds, fraction; Z or an offset. Extended, then basic form.
const ZONE = "([Zz]|[-+]\\d\\d(?::?\\d\\d)?)?";
const EXTENDED = new RegExp(
  `^(\\d{4}|[-+]\\d{6})-(\\d\\d)(?:-(\\d\\d)(?:[Tt ](\\d\\d):(\\d\\d)(?::(\\d\\d)(?:[.,](\\d+))?)?${ZONE})?)?$`,
);
const BASIC = new RegExp(
  `^(\\d{4})(\\d\\d)(\\d\\d)(?:[Tt](\\d\\d)(\\d\\d)(?:(\\d\\d)(?:[.,](\\d+))?)?${ZONE})?$`,
);

const DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const DAY_MS = 86_400_000;

/**
 * Milliseconds since 1970 of an ISO 8601 date, or date and time; NaN for anything else. Days must be in
 * the (proleptic Gregorian) calendar; 24:00 is the end of its day; there are no leap seconds. Without an
 * offset the time is UTC, whatever the machine's zone. Digits below a millisecond are cut off, as a Date
 * has no place for them.
 */
export function parseIsoDate(text: string): number {
  const parts = EXTENDED.exec(text) ?? BASIC.exec(text);
  if (parts === null) return Number.NaN;
  const [
    ,
    yearText = "",
    month = "",
    day = "01",
    hour = "00",
    minute = "00",
    second = "00",
    fraction = "",
    zone,
  ] = parts;
  const year = Number(yearText);
  const date = dayNumber(year, Number(month), Number(day));
  const time = timeOfDay(Number(hour), Number(minute), Number(second), fraction);
  if (yearText === "-000000") return Number.NaN;
  const ms = date * DAY_MS + time - offsetMs(zone);
  return Math.abs(ms) <= 8.64e15 ? ms : Number.NaN;
}

/** Days since 1970-01-01. NaN for a day that the calendar does not have. */
function dayNumber(year: number, month: number, day: number): number {
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  const days = month === 2 && leap ? 29 : DAYS[month - 1];
  if (days === undefined || day < 1 || day > days) return Number.NaN;
  // Years counted from March of the year 0, so that leap days come last: Howard Hinnant's days_from_civil.
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

function timeOfDay(hour: number, minute: number, second: number, fraction: string): number {
  const seconds = (hour * 60 + minute) * 60 + second;
  const endOfDay = hour === 24 && seconds === 86_400 && !/[1-9]/.test(fraction);
  if ((hour > 23 && !endOfDay) || minute > 59 || second > 59) return Number.NaN;
  return seconds * 1000 + Number(fraction.slice(0, 3).padEnd(3, "0"));
}

function offsetMs(zone: string | undefined): number {
  if (zone === undefined || zone === "Z" || zone === "z") return 0;
  const hours = Number(zone.slice(1, 3));
  const minutes = Number(zone.slice(3).replace(":", ""));
  if (hours > 23 || minutes > 59) return Number.NaN;
  return (zone[0] === "-" ? -1 : 1) * (hours * 60 + minutes) * 60_000;
}
