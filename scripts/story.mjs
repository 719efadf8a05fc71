// The summary of npm start: what was loaded for which device and why, in one screen.

const WIDTH = Math.max(80, Math.min(process.stdout.columns ?? 100, 120));

/**
 * @param {{ coldplug: string, hotplug: string, xfs: string }} results JSON of tsudevd (one object; one a line) and of tsmodprobe
 * @returns {string[]}
 */
export function formatStory({ coldplug, hotplug, xfs }) {
  const summary = JSON.parse(coldplug);
  const rows = summary.aliases.flatMap(({ devices, result }) => goalRows(shortDevice(devices[0] ?? ''), devices.length, result));
  const lines = hotplug.split('\n').filter(Boolean).map((line) => JSON.parse(line));
  const plugged = lines.flatMap((line) => (line.result ? goalRows(`+ ${shortDevice(line.devpath ?? line.devices?.[0] ?? '')}`, 1, line.result) : []));
  const named = JSON.parse(xfs).goals.map((goal) => ({ device: 'tsmodprobe xfs', modules: goal.steps.map((step) => step.module), reason: 'modules.dep and softdeps', failed: false }));
  const all = [...rows, ...plugged, ...named];
  const loaded = withoutRepeats(all.filter((row) => !row.failed));
  const absent = [...new Set(all.filter((row) => row.failed).flatMap((row) => row.modules.slice(-1)))];
  const deviceWidth = Math.max(...loaded.map((row) => row.device.length), 6);
  const moduleWidth = Math.floor((WIDTH - deviceWidth - 4) * 0.6);
  const row = (device, modules, reason) => `${device.padEnd(deviceWidth)}  ${cut(modules, moduleWidth).padEnd(moduleWidth)}  ${cut(reason, WIDTH - deviceWidth - moduleWidth - 4)}`.trimEnd();
  return [
    `${summary.devices} devices, ${summary.modaliases} modaliases, coldplug in ${(summary.ms / 1000).toFixed(1)} s`,
    '',
    row('device', 'modules, in the order of loading', 'because of'),
    ...loaded.map(({ device, modules, reason }) => row(device, modules.join(' '), reason)),
    ...(absent.length > 0 ? ['', `no such hardware after all: ${absent.join(', ')}`] : []),
  ];
}

/** Several devices and aliases lead to one module: it stands where it comes first. */
function withoutRepeats(rows) {
  const shown = new Set();
  return rows.flatMap((row) => {
    const modules = row.modules.filter((module) => !shown.has(module));
    for (const module of modules) shown.add(module);
    return modules.length > 0 ? [{ ...row, modules }] : [];
  });
}

/** One row for each module that an alias led to, with what it pulled in. */
function goalRows(device, count, result) {
  return result.goals.flatMap((goal) => {
    const modules = goal.steps.filter((step) => step.outcome === 'inserted').map((step) => step.module);
    if (goal.outcome === 'failed') return [{ device, modules: [goal.module], reason: '', failed: true }];
    if (modules.length === 0) return [];
    return [{ device: count > 1 ? `${device} (+${count - 1})` : device, modules, reason: goal.reason.pattern ?? goal.reason.from, failed: false }];
  });
}

/** The last part of a devpath that tells devices apart. */
function shortDevice(devpath) {
  const parts = devpath.split('/').filter(Boolean);
  const last = parts.at(-1) ?? '';
  return /^[\da-f]+:[\da-f:.]+$|^[a-z]+\d*$|^LNX|^PNP|^QEMU|:/i.test(last) ? last : parts.slice(-2).join('/');
}

function cut(text, width) {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}
