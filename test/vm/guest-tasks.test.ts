// The kernel's list of tasks, as Debian's 6.12 and 6.1 print it in QEMU.

import { describe, expect, it } from 'vitest';

import { formatGuestTask, parseGuestTasks } from '../../src/vm/guest-tasks.ts';

const LIST = `[   10.730260] sysrq: Show State
[   10.730556] task:init            state:S stack:0     pid:1     ppid:0      flags:0x00000002
[   10.730980] Call Trace:
[   10.731270]  <TASK>
[   10.731572]  __schedule+0x34d/0xa00
[   10.732111]  schedule+0x5a/0xd0
[   10.732251]  do_wait+0x114/0x320
[   10.732450]  ? thread_group_exited+0x50/0x50
[   10.733030] RIP: 0033:0x460a63
[   10.735643] task:kthreadd        state:S stack:0     pid:2     ppid:0      flags:0x00004000
[   10.735927]  __schedule+0x34d/0xa00
[   10.736091]  kthreadd+0x2bc/0x2d0
[   10.736243] task:kworker/0:0     state:I stack:0     pid:6     tgid:6     ppid:2      flags:0x00004000
[   10.736343]  worker_thread+0xd4/0x390
[   11.435256] task:tmux: server    state:D stack:0     pid:139   tgid:139   ppid:138    flags:0x00000002
[   11.435523]  <TASK>
[   11.435580]  __schedule+0x4e0/0xbf0
[   11.437869]  schedule+0x27/0xc0
[   11.437869]  schedule_timeout+0x27/0xc0
[   11.438068]  __wait_for_common.constprop.0+0xa1/0x170
[   11.445351] task:sh              state:R  running task     stack:0     pid:140   tgid:140   ppid:138    flags:0x00000002
`;

describe('parseGuestTasks', () => {
  it('finds the programs and what they wait in', () => {
    expect(parseGuestTasks(LIST).map(formatGuestTask)).toEqual(['init (1) S in do_wait', 'tmux: server (139) D in __wait_for_common', 'sh (140) R']);
  });

  it('finds none in what is no list', () => {
    expect(parseGuestTasks('')).toEqual([]);
    expect(parseGuestTasks('task: state:\n  schedule+0x1/0x2\n'.repeat(1000))).toEqual([]);
  });
});
