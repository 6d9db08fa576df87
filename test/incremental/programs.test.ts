import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Days } from "./support.ts";

test("kept maps of programs find their partitions anew by the bytes of their keys", async (t) => {
  for (const rules of [
    { sort: "-k2,2nr", partitionBy: "-k1,1", keySeparator: "." },
    { sort: "-k1,1n" },
    { partitionBy: "-k1.1,1.2", keySeparator: "." },
  ]) {
    const days = new Days(
      t,
      `import { exec, job, text } from "sheaf";
       export default job({
         input: text({ invalid: "bytes" }),
         map: exec(["cat"], ${JSON.stringify(rules)}),
         reduce: exec(["cat"]),
       });`,
    );
    const keys = Array.from({ length: 60 }, (_, i) => `${"\xe9\xff\0ab"[i % 5]}${i % 7}.${i % 11}\t${i}\n`);
    days.file("logs/a.log", Buffer.from(keys.join(""), "latin1"));
    await days.go({ partitions: 2 });
    assert.equal((await days.same({ partitions: 5 })).bytesIn, 0);
  }
});

test("maps that are kept are not told the number of their task", async (t) => {
  const show = "cat >/dev/null; echo ${mapreduce_task_partition-none} ${mapred_task_id-none}";
  const days = new Days(
    t,
    `import { exec, job, text } from "sheaf";
     const map = exec(["sh", "-c", ${JSON.stringify(show)}]);
     export default job({ input: text(), map, reduce: exec(["cat"]) });`,
  );
  days.day(1);
  await days.go({ partitions: 1 });
  assert.equal(readFileSync(join(days.output, "part-00000.txt"), "utf8"), "none none\n");
});
