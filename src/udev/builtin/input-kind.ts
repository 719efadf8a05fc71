// What kind of input device one is, by the events that it can send.

import type { CapabilityBits } from './capability-bits.ts';
import {
  ABS_MT_POSITION_X, ABS_MT_POSITION_Y, ABS_MT_SLOT, ABS_PRESSURE, ABS_RX, ABS_X, ABS_Y, ABS_Z, BTN_0, BTN_1, BTN_DIGI, BTN_DPAD_RIGHT, BTN_DPAD_UP,
  BTN_JOYSTICK, BTN_MISC, BTN_MOUSE, BTN_STYLUS, BTN_TOOL_FINGER, BTN_TOOL_PEN, BTN_TOUCH, BTN_TRIGGER_HAPPY, BUS_I2C, EV_KEY, EV_REL, EV_SW,
  INPUT_PROP_ACCELEROMETER, INPUT_PROP_DIRECT, INPUT_PROP_POINTING_STICK, KEY_ALS_TOGGLE, KEY_BRIGHTNESSDOWN, KEY_CALC, KEY_CAPSLOCK, KEY_ESC, KEY_FILE,
  KEY_INSERT, KEY_LEFTCTRL, KEY_MAIL, KEY_MUTE, KEY_NUMLOCK, KEY_OK, KEY_PLAYPAUSE, REL_HWHEEL, REL_WHEEL, REL_X, REL_Y,
} from './input-codes.ts';

export type InputCapabilities = Readonly<Record<'ev' | 'key' | 'rel' | 'abs' | 'properties', CapabilityBits>> & {
  /** `id/bustype`. */
  readonly bustype: number;
};

/** The properties that say what a device is, in udev's order, without ID_INPUT itself. */
export function inputKinds(capabilities: InputCapabilities): readonly string[] {
  const { ev, rel } = capabilities;
  const pointer = pointerKinds(capabilities);
  const keys = keyKinds(capabilities);
  const kinds = [...pointer, ...keys];
  // Some event nodes are a wheel and nothing else.
  if (kinds.length === 0 && ev.has(EV_REL) && (rel.has(REL_WHEEL) || rel.has(REL_HWHEEL))) kinds.push('ID_INPUT_KEY');
  if (ev.has(EV_SW)) kinds.push('ID_INPUT_SWITCH');
  return kinds;
}

type PointerFacts = ReturnType<typeof pointerFacts>;

function pointerKinds(capabilities: InputCapabilities): readonly string[] {
  const facts = pointerFacts(capabilities);
  if (facts.isAccelerometer) return ['ID_INPUT_ACCELEROMETER'];
  const kinds = new Set<Surface>([surfaceOf(facts), multitouchOf(facts)].filter((kind) => kind !== undefined));
  let isPad = kinds.has('tablet') && facts.hasPadButtons;
  if (facts.hasPadButtons && facts.hasWheel && !facts.hasRelCoordinates) {
    kinds.add('tablet');
    isPad = true;
  }
  const isOther = kinds.has('tablet') || kinds.has('touchpad') || kinds.has('joystick');
  let isPointingStick = facts.isPointingStick;
  if (!isOther && facts.hasMouseButton && (facts.hasRelCoordinates || !facts.hasAbsCoordinates)) kinds.add('mouse');
  // There are no mice on I2C.
  if (kinds.has('mouse') && capabilities.bustype === BUS_I2C) isPointingStick = true;
  if (kinds.has('joystick') && !isLikelyJoystick(facts, capabilities)) kinds.delete('joystick');
  return [
    ...(isPointingStick ? ['ID_INPUT_POINTINGSTICK'] : []),
    ...(kinds.has('mouse') || kinds.has('abs-mouse') ? ['ID_INPUT_MOUSE'] : []),
    ...(kinds.has('touchpad') ? ['ID_INPUT_TOUCHPAD'] : []),
    ...(kinds.has('touchscreen') ? ['ID_INPUT_TOUCHSCREEN'] : []),
    ...(kinds.has('joystick') ? ['ID_INPUT_JOYSTICK'] : []),
    ...(kinds.has('tablet') ? ['ID_INPUT_TABLET'] : []),
    ...(isPad ? ['ID_INPUT_TABLET_PAD'] : []),
  ];
}

function pointerFacts({ ev, key, rel, abs, properties }: InputCapabilities) {
  const hasKeys = ev.has(EV_KEY);
  const hasAbsCoordinates = abs.has(ABS_X) && abs.has(ABS_Y);
  const has3dCoordinates = hasAbsCoordinates && abs.has(ABS_Z);
  const hasPen = key.has(BTN_TOOL_PEN);
  // One more slot axis than there are slots: the device says yes to every axis, so its touch axes mean nothing.
  const claimsAllAxes = abs.has(ABS_MT_SLOT) && abs.has(ABS_MT_SLOT - 1);
  return {
    isAccelerometer: properties.has(INPUT_PROP_ACCELEROMETER) || (!hasKeys && has3dCoordinates),
    isPointingStick: properties.has(INPUT_PROP_POINTING_STICK),
    isDirect: properties.has(INPUT_PROP_DIRECT),
    hasStylus: key.has(BTN_STYLUS),
    hasPen,
    hasFingerButNoPen: key.has(BTN_TOOL_FINGER) && !hasPen,
    hasTouch: key.has(BTN_TOUCH),
    hasMouseButton: key.count(BTN_MOUSE, BTN_JOYSTICK) > 0,
    hasPadButtons: key.has(BTN_0) && key.has(BTN_1) && !hasPen,
    hasAbsCoordinates,
    hasRelCoordinates: ev.has(EV_REL) && rel.has(REL_X) && rel.has(REL_Y),
    hasMtCoordinates: abs.has(ABS_MT_POSITION_X) && abs.has(ABS_MT_POSITION_Y) && !claimsAllAxes,
    hasWheel: ev.has(EV_REL) && (rel.has(REL_WHEEL) || rel.has(REL_HWHEEL)),
    // Mice with more than 16 buttons run over into those of joysticks.
    joystickButtons: key.has(BTN_JOYSTICK - 1)
      ? 0
      : key.count(BTN_JOYSTICK, BTN_DIGI) + key.count(BTN_TRIGGER_HAPPY, BTN_TRIGGER_HAPPY + 40) + key.count(BTN_DPAD_UP, BTN_DPAD_RIGHT + 1),
    joystickAxes: abs.count(ABS_RX, ABS_PRESSURE),
  };
}

type Surface = 'tablet' | 'touchpad' | 'abs-mouse' | 'touchscreen' | 'joystick' | 'mouse';

function surfaceOf(facts: PointerFacts): Surface | undefined {
  const isJoystick = facts.joystickButtons > 0 || facts.joystickAxes > 0;
  if (!facts.hasAbsCoordinates) return isJoystick ? 'joystick' : undefined;
  if (facts.hasStylus || facts.hasPen) return 'tablet';
  if (facts.hasFingerButNoPen && !facts.isDirect) return 'touchpad';
  // The pointer of a virtual machine: absolute, and yet a mouse.
  if (facts.hasMouseButton) return 'abs-mouse';
  if (facts.hasTouch || facts.isDirect) return 'touchscreen';
  return isJoystick ? 'joystick' : undefined;
}

function multitouchOf(facts: PointerFacts): Surface | undefined {
  if (!facts.hasMtCoordinates) return undefined;
  if (facts.hasStylus || facts.hasPen) return 'tablet';
  if (facts.hasFingerButNoPen && !facts.isDirect) return 'touchpad';
  return facts.hasTouch || facts.isDirect ? 'touchscreen' : undefined;
}

/** Keys that keyboards have and joysticks do not. */
const KEYBOARD_KEYS = [
  KEY_LEFTCTRL, KEY_CAPSLOCK, KEY_NUMLOCK, KEY_INSERT, KEY_MUTE, KEY_CALC, KEY_FILE, KEY_MAIL, KEY_PLAYPAUSE, KEY_BRIGHTNESSDOWN,
];

function isLikelyJoystick(facts: PointerFacts, { ev, key }: InputCapabilities): boolean {
  if (ev.has(EV_KEY) && KEYBOARD_KEYS.filter((code) => key.has(code)).length >= 4) return false;
  if (facts.hasWheel && facts.hasPadButtons) return false;
  return facts.joystickButtons + facts.joystickAxes >= 2;
}

function keyKinds({ ev, key }: InputCapabilities): readonly string[] {
  if (!ev.has(EV_KEY)) return [];
  const kinds: string[] = [];
  if (key.count(0, BTN_MISC) > 0 || key.count(KEY_OK, BTN_DPAD_UP) > 0 || key.count(KEY_ALS_TOGGLE, BTN_TRIGGER_HAPPY) > 0) kinds.push('ID_INPUT_KEY');
  // The first row and column of a keyboard: Esc, the digits, and Q to D.
  if (key.count(KEY_ESC, 32) === 31) kinds.push('ID_INPUT_KEYBOARD');
  return kinds;
}
