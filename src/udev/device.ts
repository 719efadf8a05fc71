// What rules, builtins and the database see of one device, whoever answers: sysfs, a captured machine, a test.

/**
 * One device. Everything is read when it is asked for and kept for the life of the object, which is one event: two rules that look at
 * an attribute see the same value.
 */
export interface Device {
  /** Below /sys, starting with a slash. */
  readonly devpath: string;
  /** `roots.sys` and the devpath. */
  readonly syspath: string;
  /** Last component of the devpath, with `/` where the kernel wrote `!`. */
  readonly sysname: string;
  /** The digits at the end of sysname, undefined where there are none or nothing else. */
  readonly sysnum: string | undefined;
  /** `drivers`, `module`, `subsystem` for what is not a device (sd-device's words); undefined where the kernel says none. */
  readonly subsystem: string | undefined;
  readonly devtype: string | undefined;
  /** The bound driver. */
  readonly driver: string | undefined;
  readonly devnum: DeviceNumber | undefined;
  readonly ifindex: number | undefined;
  /** The node below /dev, without a leading slash: `bus/usb/001/002`. */
  readonly devname: string | undefined;
  /** What the kernel says: of the uevent message, or of the `uevent` file where there was none. */
  readonly properties: ReadonlyMap<string, string>;
  /** The next device upwards that has a `uevent` file. */
  readonly parent: Device | undefined;
  /**
   * An attribute as udev shows it: the text without its trailing newlines, the base name of the target for the links `driver`,
   * `subsystem` and `module`; undefined for other links, directories, and what is missing or cannot be read. `name` may hold slashes,
   * and never leaves the directory of the device.
   */
  attribute(name: string): string | undefined;
  /** The names of the attributes, sorted (`info -a`). */
  attributeNames(): readonly string[];
}

export type DeviceNumber = { readonly type: 'block' | 'char'; readonly major: number; readonly minor: number };

/**
 * The name of a device in the database and the netlink messages: `b8:0`, `c1:3`, `n2` (an interface's index), `+usb:5-2:1.0`,
 * `+drivers:pci:ahci`. Undefined for what has no subsystem.
 */
export function deviceId(device: Pick<Device, 'devnum' | 'ifindex' | 'subsystem' | 'sysname' | 'devpath'>): string | undefined {
  const { devnum, ifindex, subsystem, sysname, devpath } = device;
  if (devnum) return `${devnum.type === 'block' ? 'b' : 'c'}${devnum.major}:${devnum.minor}`;
  if (ifindex !== undefined) return `n${ifindex}`;
  if (subsystem === undefined) return undefined;
  if (subsystem !== 'drivers') return `+${subsystem}:${sysname.replaceAll('/', '!')}`;
  const bus = /^\/bus\/([^/]+)\/drivers(?:\/|$)/.exec(devpath)?.[1];
  return `+drivers:${bus === undefined ? '' : `${bus}:`}${sysname.replaceAll('/', '!')}`;
}
