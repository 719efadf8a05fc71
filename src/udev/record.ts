// What the database keeps of one device.

/** One file of /run/udev/data. */
export type DeviceRecord = {
  /** `S:`, below /dev. */
  readonly links: readonly string[];
  /** `L:` */
  readonly linkPriority: number;
  /** `I:` microseconds of CLOCK_MONOTONIC when the device was first done; 0 when never. */
  readonly initialisedUsec: number;
  /** `E:` */
  readonly properties: ReadonlyMap<string, string>;
  /** `G:` every tag that it ever had; `Q:` those of now. */
  readonly tags: ReadonlySet<string>;
  readonly currentTags: ReadonlySet<string>;
};
