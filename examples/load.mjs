// Plans a module and all that it needs, and loads that with --now: node examples/load.mjs [--now] NAME [ROOT [RELEASE]]
import { openKmod, openSystem } from 'tsmodprobe';

const words = process.argv.slice(2);
const isMeant = words[0] === '--now';
const [name = '', root, release] = isMeant ? words.slice(1) : words;
const kmod = openKmod(openSystem({ ...(root ? { root } : {}), ...(release ? { release } : {}) }));
const plan = kmod.plan(name);
if (plan.goals.length === 0) console.log(`nothing is called ${name}`);
for (const { steps } of plan.goals) {
  for (const [i, { action, module, params, reason, after }] of steps.entries()) {
    console.log(`${i}. ${[action, module, params].filter(Boolean).join(' ')} (${reason.kind} ${reason.from})${after.length > 0 ? ` after ${after.join(', ')}` : ''}`);
  }
}
if (isMeant) {
  const { goals } = await kmod.execute(plan);
  for (const { steps } of goals) for (const { module, outcome, failure } of steps) console.log(`${module}: ${outcome}${failure ? `: ${failure.code} ${failure.kernel.join('; ')}` : ''}`);
}
await kmod.close();
