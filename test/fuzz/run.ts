// npm run fuzz: a reader on changed inputs, until something is found or the time is over.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { keptInputs, TARGETS } from './corpus.ts';
import { fuzz } from './fuzz.ts';

const SLOW_MS = 2000;

const USAGE = `Usage: npm run fuzz -- PARSER... [--seconds N] [--seed N] [--rounds N]
Changes inputs of PARSER until it throws what is none of our errors, or takes more than ${SLOW_MS / 1000} s for one.

PARSER is 'all' or some of:
${Object.keys(TARGETS).map((name) => `  ${name}\n`).join('')}
  --seconds N   for each; 10 when absent
  --rounds N    at most so many
  --seed N      of the changes; another one in every run when absent, and printed

What is found is written to test/fuzz/corpus/PARSER/, where the unit tests read it from then on.
Exit code: 1 when something was found.
`;

const corpus = join(process.cwd(), 'test/fuzz/corpus');
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '10' }, seed: { type: 'string' }, rounds: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
});
const names = positionals.includes('all') ? Object.keys(TARGETS) : positionals;
const unknown = names.find((name) => TARGETS[name] === undefined);
const numbers = [values.seconds, values.seed ?? '0', values.rounds ?? '0'];
if (values.help || names.length === 0 || unknown !== undefined || numbers.some((text) => !/^\d{1,10}$/.test(text))) {
  if (unknown !== undefined) console.error(`no such parser: ${unknown}\n`);
  (values.help ? console.log : console.error)(USAGE);
  process.exit(values.help ? 0 : 1);
}

const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
console.log(`seed ${seed}\n${'parser'.padEnd(24)}${'rounds'.padStart(9)}${'answers'.padStart(9)}${'slowest'.padStart(10)}`);
let found = 0;
for (const name of names) {
  const target = TARGETS[name];
  if (!target) continue;
  const end = performance.now() + Number(values.seconds) * 1000;
  const report = fuzz(target, {
    seed, rounds: values.rounds === undefined ? Infinity : Number(values.rounds), isOver: () => performance.now() > end, slowMs: SLOW_MS,
    corpus: keptInputs(corpus, name).map(({ input }) => input),
  });
  console.log(`${name.padEnd(24)}${String(report.rounds).padStart(9)}${String(report.answers).padStart(9)}${`${report.slowestMs.toFixed(1)} ms`.padStart(10)}`);
  if (!report.crash) continue;
  found++;
  const { round, input, error } = report.crash;
  mkdirSync(join(corpus, name), { recursive: true });
  const file = join(corpus, name, `seed-${seed}-round-${round}`);
  writeFileSync(file, input);
  console.error(`found in round ${round}, kept as ${file}:\n${error instanceof Error ? error.stack : String(error)}`);
}
process.exit(found > 0 ? 1 : 0);
