import type { GeneratorDefinition } from "./generator.ts";
import { encodeAll, longestOf } from "./pieces.ts";
import { stations } from "./stations.ts";

/**
 * Lines `Station Name;-12.3` as in the One Billion Row Challenge: temperatures bell-shaped around a mean per
 * station.
 */
export const measurements: GeneratorDefinition = {
  kind: "measurements",
  summary: `weather measurements, one a line: "Station Name;-12.3", ${stations.length} stations`,
  record: "line",
  options: [
    {
      name: "stations",
      summary: "different stations; beyond the built-in names a number is added",
      default: stations.length,
      min: 1,
      max: 1_000_000,
      integer: true,
    },
  ],
  maker(random, option) {
    const size = option("stations");
    const names = encodeAll(
      Array.from({ length: size }, (_, i) => {
        const round = Math.floor(i / stations.length);
        return stations[i % stations.length]! + (round === 0 ? "" : ` ${round}`);
      }),
    );
    const meanTenths = Int32Array.from(names, () => random.below(400) - 80);
    return {
      recordBytesMax: longestOf(names) + 7,
      write(cursor) {
        const station = random.below(size);
        const name = names[station]!;
        cursor.copy(name);
        cursor.byte(59);
        // The sum of four uniform bytes is close to a normal distribution: about 148 either way at one
        // deviation.
        const draw = random.below(0x1_0000_0000) >>> 0;
        const spread = (draw & 255) + ((draw >>> 8) & 255) + ((draw >>> 16) & 255) + (draw >>> 24) - 510;
        let tenths = meanTenths[station]! + spread;
        if (tenths < 0) {
          cursor.byte(45);
          tenths = -tenths;
        }
        const degrees = Math.floor(tenths / 10);
        cursor.integer(degrees);
        cursor.byte(46);
        cursor.byte(48 + tenths - degrees * 10);
        cursor.byte(10);
      },
    };
  },
};
