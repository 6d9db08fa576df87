import type { Random } from "../base/random.ts";
import type { Cursor } from "./cursor.ts";
import type { GeneratorDefinition } from "./generator.ts";
import { zipfRanks } from "./zipf.ts";

const START_SECONDS = 1_704_067_200; // 2024-01-01T00:00:00Z
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const METHODS = ["GET", "GET", "GET", "GET", "GET", "GET", "POST", "HEAD"];
const STATUSES = [200, 200, 200, 200, 200, 200, 200, 200, 304, 304, 301, 302, 404, 404, 403, 500];
const SECTIONS = ["/", "/docs/", "/blog/", "/img/", "/api/v1/items/", "/search?q="];
const AGENTS = [
  "Mozilla/5.0 (X11; Linux x86_64; rv:124.0) Gecko/20100101 Firefox/124.0",
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/123.0 Safari/537.36",
  "Mozilla/5.0 (compatible; examplebot/2.1; +http://www.example.com/bot.html)",
  "curl/8.5.0",
  'Odd \\"quoted\\" agent',
];

/** A web server's log in the combined format; a share of the lines can be broken in ways real logs are. */
export const accesslog: GeneratorDefinition = {
  kind: "accesslog",
  summary: "a web server's access log in the combined format, broken lines on request",
  record: "line",
  options: [
    {
      name: "broken",
      summary: "share of lines that are cut, empty or garbage",
      default: 0,
      min: 0,
      max: 1,
      integer: false,
    },
    {
      name: "pages",
      summary: "different pages, visited with Zipf frequencies",
      default: 10_000,
      min: 1,
      max: 10_000_000,
      integer: true,
    },
  ],
  maker(random, option) {
    const broken = option("broken");
    const nextPage = zipfRanks(random, option("pages"), 0);
    let seconds = START_SECONDS;
    let stamp = timestamp(seconds);
    return {
      recordBytesMax: 512,
      write(cursor) {
        if (random.below(8) === 0) stamp = timestamp(++seconds);
        const start = cursor.at;
        writeLine(cursor, random, stamp, nextPage());
        if (random.next() < broken) breakLine(cursor, random, start);
        cursor.byte(10);
      },
    };
  },
};

function writeLine(cursor: Cursor, random: Random, stamp: string, page: number): void {
  cursor.integer(1 + random.below(223));
  for (let i = 0; i < 3; i++) {
    cursor.byte(46);
    cursor.integer(random.below(256));
  }
  cursor.ascii(random.below(20) === 0 ? " - alice [" : " - - [");
  cursor.ascii(stamp);
  cursor.ascii('] "');
  cursor.ascii(METHODS[random.below(METHODS.length)]!);
  cursor.byte(32);
  cursor.ascii(SECTIONS[page % SECTIONS.length]!);
  cursor.integer(page);
  cursor.ascii(' HTTP/1.1" ');
  const status = STATUSES[random.below(STATUSES.length)]!;
  cursor.integer(status);
  cursor.byte(32);
  if (status === 304) cursor.byte(45);
  else cursor.integer(random.below(100_000));
  cursor.ascii(random.below(3) === 0 ? ' "-" "' : ' "https://www.example.com/" "');
  cursor.ascii(AGENTS[random.below(AGENTS.length)]!);
  cursor.byte(34);
}

function breakLine(cursor: Cursor, random: Random, start: number): void {
  switch (random.below(4)) {
    case 0: // cut before the status, as by a full disk
      cursor.at = start + Math.floor((cursor.at - start) / 4);
      return;
    case 1:
      cursor.at = start;
      return;
    case 2: // a TLS handshake on the plain port
      cursor.at = start;
      for (let i = 0; i < 24; i++) cursor.byte(i % 3 === 0 ? 0x16 : 128 + random.below(128));
      return;
    default:
      cursor.at = start;
      cursor.ascii("-- MARK --");
  }
}

/** "01/Jan/2024:00:00:00 +0000" */
function timestamp(seconds: number): string {
  const date = new Date(seconds * 1000);
  const two = (value: number): string => String(value).padStart(2, "0");
  const day = `${two(date.getUTCDate())}/${MONTHS[date.getUTCMonth()]}/${date.getUTCFullYear()}`;
  return `${day}:${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())} +0000`;
}
