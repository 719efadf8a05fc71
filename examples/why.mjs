// Which module drives a device, and why: node examples/why.mjs MODALIAS [ROOT [RELEASE]]
import { openKmod, openSystem } from 'tsmodprobe';

const [modalias, root, release] = process.argv.slice(2);
const kmod = openKmod(openSystem({ ...(root ? { root } : {}), ...(release ? { release } : {}) }));
const { goals } = kmod.plan(modalias ?? '', { useBlacklist: 'all' });
if (goals.length === 0) console.log('no module claims it');
for (const { module, reason, status, source, steps } of goals) {
  console.log(`${module}: ${status}, by ${reason.pattern ?? reason.from}${source ? ` (${source.file}:${source.line})` : ''}`);
  for (const step of steps) console.log(`  ${step.action} ${step.module}: ${step.reason.kind} ${step.reason.from}`);
}
