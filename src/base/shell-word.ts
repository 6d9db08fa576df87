/** A word of a command that is shown to be copied, quoted for the shell of the platform where it must be. */
export function shellWord(text: string, platform: NodeJS.Platform = process.platform): string {
  if (platform === "win32") return /^[\w./\\@+=:,-]+$/.test(text) ? text : `"${text.replaceAll('"', '""')}"`;
  return /^[\w./@%+=:,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
