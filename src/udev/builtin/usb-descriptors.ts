// The interfaces of a USB device, from the descriptors that it gave the kernel.

/** USB 2.0 section 9.6.5: bLength bDescriptorType bInterfaceNumber bAlternateSetting bNumEndpoints bInterfaceClass bInterfaceSubClass bInterfaceProtocol iInterface */
const INTERFACE_LENGTH = 9;
const USB_DT_INTERFACE = 4; // linux/usb/ch9.h
/** The device's descriptor comes first. */
export const DEVICE_DESCRIPTOR_LENGTH = 18;
/** wTotalLength of a configuration is 16 bits wide. */
export const DESCRIPTORS_MAX = DEVICE_DESCRIPTOR_LENGTH + 65535;
/** Bytes of the list, as udev has it. */
const LIST_MAX = 255;

/** Each kind of interface once, in order: `:080650:030101:`, class, subclass and protocol in hexadecimal. Undefined when malformed or none. */
export function packedInterfaces(descriptors: Uint8Array): string | undefined {
  if (descriptors.length < DEVICE_DESCRIPTOR_LENGTH) return undefined;
  const kinds = new Set<string>();
  const end = Math.min(descriptors.length, DESCRIPTORS_MAX);
  // An interface without endpoints at the very end is not looked at: udev does not either, and rules compare the list whole.
  for (let at = 0; at + INTERFACE_LENGTH < end;) {
    const length = descriptors[at] ?? 0;
    if (length < 3) break;
    if (length > end - INTERFACE_LENGTH) return undefined;
    if (descriptors[at + 1] === USB_DT_INTERFACE) {
      const kind = Buffer.from(descriptors.subarray(at + 5, at + 8)).toString('hex');
      if ((kinds.size + 1) * 7 + 1 > LIST_MAX) break;
      kinds.add(kind);
    }
    at += length;
  }
  return kinds.size === 0 ? undefined : `:${[...kinds].join(':')}:`;
}
