// Formats of one's own: a reader for paragraphs of "Name: value" lines, as in a Debian package list, and a
// writer for an HTML table. Each is an object with a few functions.
//
//   sheaf run custom-format.ts /var/lib/dpkg/status -o sections
//
// sections/part-*.html: how many packages each section has and how much room they take.
import { count, job, stats, sum } from "sheaf";
import type { Reader, Writer } from "sheaf";

type Fields = Readonly<Record<string, string>>;

/** Records end at an empty line; the engine cuts the file there, wherever a split begins. */
const paragraphs: Reader<Fields> = {
  kind: "paragraphs",
  framing: { kind: "delimiter", delimiter: new TextEncoder().encode("\n\n") },
  decoder: () => {
    const utf8 = new TextDecoder();
    return {
      decode(bytes, offset, _last, batch) {
        let at = offset;
        for (const paragraph of utf8.decode(bytes).split("\n\n")) {
          if (paragraph.trim() !== "") {
            const pairs = [...paragraph.matchAll(/^([A-Za-z-]+): (.*)$/gm)];
            batch.records.push(Object.fromEntries(pairs.map(([, name, value]) => [name, value])));
            batch.offsets.push(at);
          }
          at += Buffer.byteLength(paragraph) + 2;
        }
      },
    };
  },
};

interface Totals {
  readonly packages: number;
  readonly kilobytes: number;
}

const htmlTable: Writer<string, Totals> = {
  kind: "html-table",
  extension: ".html",
  encoder: () => ({
    begin: (sink) => sink.text("<table>\n"),
    write: (section, totals, sink) => {
      const name = section.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
      sink.text(`<tr><td>${name}</td><td>${totals.packages}</td><td>${totals.kilobytes}</td></tr>\n`);
    },
    end: (sink) => sink.text("</table>\n"),
  }),
};

export default job({
  input: paragraphs,
  map(fields, emit) {
    emit(fields["Section"] ?? "none", { kilobytes: Number(fields["Installed-Size"] ?? 0) });
  },
  reduce: stats({ packages: count(), kilobytes: sum() }),
  output: htmlTable,
});
