/** How near to their input maps have run. */
export interface NearMaps {
  readonly maps: number;
  /** On a host that has what they read. */
  readonly local: number;
  /** Elsewhere in the rack of such a host; left out where racks are not known. */
  readonly rack?: number;
}

export function nearMapsText({ maps, local, rack = 0 }: NearMaps): string {
  const others = rack === 0 ? "" : `, ${rack} in the rack of one`;
  return `${local} of ${maps} maps were local: they ran on a host that has what they read${others}`;
}
