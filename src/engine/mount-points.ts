/**
 * Returns the mount points below a directory, relative to it.
 *
 * @param mountInfo what `/proc/self/mountinfo` says; proc(5).
 * @param directory absolute.
 */
export function mountPointsBelow(mountInfo: string, directory: string): readonly string[] {
  const prefix = directory === '/' ? '/' : `${directory}/`;
  const points = mountInfo.split('\n').map((line) => unescapeField(line.split(' ', 5)[4] ?? ''));
  return points
    .filter((point) => point.startsWith(prefix) && point !== prefix)
    .map((point) => point.slice(prefix.length));
}

/** The kernel writes space, tab, newline and backslash as three octal digits. */
function unescapeField(field: string): string {
  if (!field.includes('\\')) return field;
  return field.replaceAll(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCodePoint(Number.parseInt(digits, 8)),
  );
}
