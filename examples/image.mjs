// What is in a file of modules, without a mount: node examples/image.mjs IMAGE [RELEASE]
import { compressionOf, openKmod, openModules, openSystem } from 'tsmodprobe';

const [image = '', release] = process.argv.slice(2);
const system = openSystem(release ? { release } : {});
const source = await openModules(system, image);
const kmod = openKmod(system, { source });
const { db } = kmod.facts;
const modules = db.modules();
console.log(`${modules.length} modules of ${source.release}`);
for (const { module, needs } of modules) {
  const file = source.open(db.dependencies(module)?.path ?? '');
  const compression = compressionOf(file.read(0, 6)) ?? 'not compressed';
  console.log([module, `${file.size} bytes`, compression, ...needs.map((need) => `needs ${need}`)].join(', '));
  file.close();
}
await kmod.close();
