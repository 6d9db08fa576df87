import Type from "typebox";
import type { Static } from "typebox";

const closed = { additionalProperties: false } as const;
const Whole = Type.Integer({ minimum: 0 });

/** The files in which an agent hands in what a failed reduce has read, among those of its attempt. */
export const sliceFiles = { list: "slices.json", pack: "slices.pack" } as const;

/** What a coordinator hands out of a capsule. `slices`: the pack. */
export const capsuleFiles = ["capsule", "code", "sourceMap", "slices"] as const;
export type CapsuleFile = (typeof capsuleFiles)[number];

/** The list: where in the pack each slice lies, a run file of one partition, in map task order. */
export const SlicesSchema = Type.Object(
  {
    inputs: Type.Array(Type.Object({ task: Whole, attempt: Whole, offset: Whole, bytes: Whole }, closed)),
    /** Why there is no pack; null: there is one. */
    missing: Type.Union([Type.String({ maxLength: 1_000 }), Type.Null()]),
  },
  closed,
);

export type KeptSlices = Static<typeof SlicesSchema>;
