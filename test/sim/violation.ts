/** Thrown by every check of the simulator: an invariant does not hold. */
export class Violation extends Error {
  override readonly name = "Violation";
}

export function demand(holds: boolean, message: () => string): void {
  if (!holds) throw new Violation(message());
}
