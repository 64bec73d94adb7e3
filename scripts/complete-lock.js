// Adds the packages of other platforms to package-lock.json (`npm run lock`, after adding or updating a dependency).
//
// A registry mirror may carry only the native packages of its own platform. npm then leaves the others out of the
// lock file, and `npm ci` refuses such a lock everywhere ("Missing: … from lock file"). Their names and exact versions
// stand in the `optionalDependencies` of the package that owns them; the platform is spelled in their names.
import { readFileSync, writeFileSync } from 'node:fs';

const lockPath = new URL('../package-lock.json', import.meta.url);
const systems = [
  'aix',
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
];
const processors = [
  'arm',
  'arm64',
  'ia32',
  'loong64',
  'mips64el',
  'ppc64',
  'riscv64',
  's390x',
  'x64',
];
/** @type {Readonly<Record<string, string>>} */
const libcOf = { gnu: 'glibc', gnueabihf: 'glibc', musl: 'musl', musleabihf: 'musl' };

const lock = JSON.parse(readFileSync(lockPath, 'utf8'));
let added = 0;
for (const owner of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(owner.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    if (lock.packages[key] !== undefined) continue;
    lock.packages[key] = entry(name, version, owner.dev === true);
    added += 1;
  }
}
if (added > 0) {
  lock.packages = Object.fromEntries(
    Object.entries(lock.packages).toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
  writeFileSync(lockPath, `${JSON.stringify(lock, null, 2)}\n`);
}
console.log(`package-lock.json: ${added} packages of other platforms added`);

/**
 * @param {string} name
 * @param {string} version
 * @param {boolean} isDevelopment
 */
function entry(name, version, isDevelopment) {
  const words = name.split(/[/-]/);
  const os = words.find((word) => systems.includes(word));
  const cpu = words.find((word) => processors.includes(word));
  if (os === undefined || cpu === undefined || !/^\d+\.\d+\.\d+/.test(version)) {
    throw new Error(`${name}@${version}: no platform in the name or no exact version`);
  }
  const libc = os === 'linux' ? words.map((word) => libcOf[word]).find(Boolean) : undefined;
  // In the order in which npm writes them.
  return {
    version,
    cpu: [cpu],
    ...(isDevelopment && { dev: true }),
    ...(libc && { libc: [libc] }),
    optional: true,
    os: [os],
  };
}
