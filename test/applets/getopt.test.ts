import { describe, expect, it } from 'vitest';

import { getopt } from '../../src/applets/getopt.ts';

const SPECS = [
  { long: 'all', short: 'a' }, { long: 'dirname', short: 'd', argument: 'required' as const }, { long: 'show-depends', short: 'D' },
  { long: 'show', name: 'dry-run' }, { long: 'dry-run', short: 'n' }, { long: 'first-time' },
];
const parse = (...argv: string[]) => {
  const { options, operands } = getopt(argv, SPECS, 'prog');
  return [options.map(({ name, value }) => (value === '' ? name : `${name}=${value}`)).join(' '), operands.join(' ')];
};

describe('getopt', () => {
  it('takes options behind operands, up to --', () => {
    expect(parse('xfs', '-a', 'x=-5', '--', '-n')).toEqual(['all', 'xfs x=-5 -n']);
    expect(parse('-')).toEqual(['', '-']);
  });

  it('takes arguments in every form', () => {
    expect(parse('-d', '/r', '-d/s', '-ad', '-x', '--dirname=/t', '--dirname', '/u')).toEqual(['dirname=/r dirname=/s all dirname=-x dirname=/t dirname=/u', '']);
  });

  it('takes unique beginnings of long options, and whole ones before longer ones', () => {
    expect(parse('--dirn', '/r', '--first', '--show', '--show-d')).toEqual(['dirname=/r first-time dry-run show-depends', '']);
  });

  it.each([
    [['-Z'], "prog: invalid option -- 'Z'"],
    [['--nosuch=1'], "prog: unrecognized option '--nosuch=1'"],
    [['-d'], "prog: option requires an argument -- 'd'"],
    [['--dirname'], "prog: option '--dirname' requires an argument"],
    [['--all=1'], "prog: option '--all' doesn't allow an argument"],
    [['--d'], "prog: option '--d' is ambiguous; possibilities: '--dirname' '--dry-run'"],
  ])('says of %j what getopt_long says', (argv, message) => {
    expect(() => parse(...argv)).toThrow(message);
  });

  it('takes some options by their whole names only, and leaves the beginnings to others', () => {
    const specs = [{ long: 'modname' }, { long: 'modules', exact: true }];
    expect([['--mod'], ['--modules']].map((argv) => getopt(argv, specs, 'prog').options[0]?.name)).toEqual(['modname', 'modules']);
    expect(() => getopt(['--modu'], specs, 'prog')).toThrow("prog: unrecognized option '--modu'");
  });

  it('ends at --help and --version, whatever comes after them', () => {
    const specs = [...SPECS, { long: 'help', short: 'h' }, { long: 'version', short: 'V' }];
    const names = (...argv: string[]) => getopt(argv, specs, 'prog').options.map(({ name }) => name);
    expect([names('-ahZ', '--nosuch'), names('x', '-Vh', '-Z'), names('--vers', '-d')]).toEqual([['all', 'help'], ['version'], ['version']]);
  });

  it('takes an optional argument in the same word only', () => {
    const specs = [{ long: 'wait', short: 'w', argument: 'optional' as const }, { long: 'all', short: 'a' }];
    const { options, operands } = getopt(['-w', 'x', '-aw5', '--wait', 'y', '--wait=7'], specs, 'prog');
    expect([options.map(({ name, value }) => `${name}=${value}`), operands]).toEqual([['wait=', 'all=', 'wait=5', 'wait=', 'wait=7'], ['x', 'y']]);
  });
});
