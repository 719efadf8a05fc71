// The path that path_id composes, from the device upwards.

export class DevicePath {
  /** The parts so far, joined by `-`. */
  text: string | undefined;
  /** The same as udev wrote it before it told the devices behind one ATA port apart. */
  compat: string | undefined;
  /** The same with the revision of USB, where the device is on USB. */
  withUsbRevision: string | undefined;
  /** Something above says where this is; without it the path would be the same on every machine. */
  hasRoot = false;
  /** The device is on something that tells disks apart. */
  hasTransport = false;

  /** Puts a part before those that are there. */
  add(part: string, { compat = part, withUsbRevision = part }: { readonly compat?: string; readonly withUsbRevision?: string } = {}): void {
    // The two others begin where they first differ.
    if (this.compat !== undefined || compat !== part) this.compat = join(compat, this.compat ?? this.text);
    if (this.withUsbRevision !== undefined || withUsbRevision !== part) {
      this.withUsbRevision = join(withUsbRevision, this.withUsbRevision ?? this.text);
    }
    this.text = join(part, this.text);
  }
}

function join(part: string, rest: string | undefined): string {
  return rest === undefined ? part : `${part}-${rest}`;
}
