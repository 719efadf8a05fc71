import { describe, expect, it } from 'vitest';

import { parseKernelCmdline } from '../../src/kmod/cmdline.ts';
import { ConfigBuilder, parseConfig } from '../../src/kmod/config.ts';
import { random } from '../random.ts';

function parse(text: string): ConfigBuilder {
  const config = new ConfigBuilder();
  parseConfig(text, 'x.conf', config);
  return config;
}

const at = (line: number) => ({ file: 'x.conf', line });

describe('parseConfig', () => {
  it('reads every directive with the line it ends on', () => {
    const config = parse([
      'alias a-b*[a-c] foo-bar extra words',
      'blacklist one two',
      'install i-1   echo  a\tb ',
      'remove r1 echo bye',
      'options\tfoo   a=1\tb=2  ',
      'softdep x-y a pre: b-c d post: e',
      'weakdep w a b-c',
    ].join('\n'));
    expect(config).toEqual(Object.assign(new ConfigBuilder(), {
      aliases: [{ pattern: 'a_b*[a-c]', module: 'foo_bar', source: at(1) }],
      blacklist: [{ module: 'one', source: at(2) }],
      install: [{ module: 'i_1', command: '  echo  a\tb ', source: at(3) }],
      remove: [{ module: 'r1', command: 'echo bye', source: at(4) }],
      options: [{ module: 'foo', params: '  a=1 b=2  ', source: at(5) }],
      softdeps: [{ module: 'x_y', pre: ['b-c', 'd'], post: ['e'], source: at(6) }],
      weakdeps: [{ module: 'w', weak: ['a', 'b-c'], source: at(7) }],
    }));
  });

  it('joins lines that end in a backslash, comments too, and drops other backslashes', () => {
    const config = parse('options a x=\\\ny\n# note \\\noptions lost z=1\noptions b q=\\"1\\\\\n');
    expect(config.options).toEqual([
      { module: 'a', params: 'x=y', source: at(2) },
      { module: 'b', params: 'q="1\\', source: at(5) },
    ]);
    expect(config.problems).toEqual([]);
  });

  it('keeps the last line where the file ends in a backslash', () => {
    expect(parse('options a b=1\\').options).toEqual([{ module: 'a', params: 'b=1', source: at(1) }]);
  });

  it('goes on behind lines that it cannot read, and names them', () => {
    const config = parse('bogus line\n # indented\nalias x\nalias b]x foo\noptions m\nsoftdep m\ninclude f\nblacklist ok\n');
    expect(config.blacklist).toEqual([{ module: 'ok', source: at(8) }]);
    expect(config.problems.map((problem) => problem.message)).toEqual([
      "x.conf line 1: ignoring bad line starting with 'bogus'",
      "x.conf line 2: ignoring bad line starting with '#'",
      "x.conf line 3: ignoring bad line starting with 'alias'",
      "x.conf line 4: ignoring bad line starting with 'alias'",
      "x.conf line 5: ignoring bad line starting with 'options'",
      "x.conf line 6: ignoring bad line starting with 'softdep'",
      'x.conf: command include is deprecated and not parsed anymore',
    ]);
  });

  it('survives any text', () => {
    const next = random(3);
    const pieces = ['alias', 'options', 'softdep', 'pre:', 'install', '\\', '\n', ' ', '\t', '[', ']', '#', 'x', '\0', '\u00ff'];
    for (let round = 0; round < 2000; round++) {
      parse(Array.from({ length: next(30) }, () => pieces[next(pieces.length)]).join(''));
    }
  });
});

describe('parseKernelCmdline', () => {
  const read = (text: string) => {
    const config = new ConfigBuilder();
    parseKernelCmdline(text, 'cmdline', config);
    return {
      options: config.options.map(({ module, params }) => `${module} ${params}`),
      blacklist: config.blacklist.map(({ module }) => module),
    };
  };

  it('takes module parameters and the blacklist', () => {
    expect(read('root=/dev/sda1 quiet mod.par=1 m-x.flag modprobe.blacklist=usb-storage,foo_x modprobe.blacklist=b\n')).toEqual({
      options: ['mod par=1', 'm_x flag'],
      blacklist: ['usb_storage', 'foo_x', 'b'],
    });
  });

  it('lets quotes protect blanks, around the value or, as grub writes it, around the word', () => {
    expect(read('a.b="q r" "m-x.p=a b"').options).toEqual(['a b="q r"', 'm_x p="a b"']);
  });

  it('passes over what is no module parameter', () => {
    expect(read('x.y.z=1 .a=1 a.=1 "half.open=1 =x a."b=c').options).toEqual([]);
  });
});
