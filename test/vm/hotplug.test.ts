import { describe, expect, it } from 'vitest';

import { guestKernel, runOurs } from './guests.ts';

/** What is plugged in, the module that must be live, and the attribute that shows the driver bound to it. */
const PLUGGED = [
  { name: 'rng', device: 'virtio-rng-pci,bus=rp0', module: 'virtio_rng', bound: '/sys/bus/virtio/drivers/virtio_rng/virtio*' },
  { name: 'stick', device: 'usb-storage,bus=xhci.0,drive=spare0', module: 'usb_storage', bound: '/sys/bus/usb/drivers/usb-storage/*-*:*' },
  { name: 'nvme', device: 'nvme,bus=rp1,drive=spare1,serial=hot', module: 'nvme', bound: '/sys/bus/pci/drivers/nvme/0000:*' },
];

/** Of guest time. */
const WITHIN_SECONDS = 1;

/** The guest's clock counts its instructions, 4 ns each: a slow processor, whose second is as long on a busy host. */
const VIRTUAL_TIME = ['-icount', 'shift=2,sleep=off'];

/**
 * The guest plugs a device in and reports, by its own clock, how long the module and the binding took. It looks without
 * starting programs but one sleep a round: the only processor is the daemon's too.
 */
const plug = ({ name, device, module, bound }: (typeof PLUGGED)[number]) => `
before=$(count ${bound})
vmctl hmp device_add ${device}
start=$(seconds)
for i in $(seq 1 400); do
  state=none
  [ -r /sys/module/${module}/initstate ] && read -r state < /sys/module/${module}/initstate
  [ $state = live ] && bound_since $before ${bound} && break
  usleep 20000
done
end=$(seconds)
echo "${name} $start $end $(bound_since $before ${bound} && echo bound || echo unbound)" >> /tmp/times
`;

const FUNCTIONS = `
seconds() { read -r up rest < /proc/uptime; echo "$up"; }
count() { [ -e "$1" ] && echo $# || echo 0; }
bound_since() { before=$1; shift; [ -e "$1" ] && [ $# -gt $before ]; }
`;

describe.each(['6.12', '6.1'])('tsudevd on %s', (series) => {
  it('gives devices that are plugged in their drivers within a second', async (context) => {
    const kernel = await guestKernel(series);
    if (typeof kernel === 'string') return context.skip(kernel);
    const result = await runOurs(kernel, `
${FUNCTIONS}
touch /tmp/times
mkfifo /tmp/ready
tsudevd --ready-fd 5 5> /tmp/ready &
daemon=$!
read -r line < /tmp/ready
${PLUGGED.map(plug).join('')}
kill -TERM $daemon
wait $daemon
echo "daemon $?" >> /tmp/times
vmctl put /tmp/times
`, { machine: 'q35', qemuArguments: VIRTUAL_TIME });
    expect(result.exitCode, result.console).toBe(0);
    const lines = (result.files.get('times')?.toString('utf8') ?? '').trim().split('\n').map((line) => line.split(' '));
    expect(lines.map(([name, , , state]) => `${name} ${state ?? ''}`.trim())).toEqual(['rng bound', 'stick bound', 'nvme bound', 'daemon']);
    expect(lines.at(-1)).toEqual(['daemon', '0']);
    for (const [name, start, end] of lines.slice(0, -1)) {
      expect(Number(end) - Number(start), `seconds for ${name}`).toBeLessThanOrEqual(WITHIN_SECONDS);
    }
  });
});
