// Event types and codes of linux/input-event-codes.h and bus types of linux/input.h, those that tell kinds of devices apart.

export const EV_KEY = 0x01;
export const EV_REL = 0x02;
export const EV_SW = 0x05;

export const INPUT_PROP_DIRECT = 0x01;
export const INPUT_PROP_POINTING_STICK = 0x05;
export const INPUT_PROP_ACCELEROMETER = 0x06;

export const REL_X = 0x00;
export const REL_Y = 0x01;
export const REL_HWHEEL = 0x06;
export const REL_WHEEL = 0x08;

export const ABS_X = 0x00;
export const ABS_Y = 0x01;
export const ABS_Z = 0x02;
export const ABS_RX = 0x03;
export const ABS_PRESSURE = 0x18;
export const ABS_MT_SLOT = 0x2f;
export const ABS_MT_POSITION_X = 0x35;
export const ABS_MT_POSITION_Y = 0x36;

export const KEY_ESC = 1;
export const KEY_LEFTCTRL = 29;
export const KEY_CAPSLOCK = 58;
export const KEY_NUMLOCK = 69;
export const KEY_INSERT = 110;
export const KEY_MUTE = 113;
export const KEY_CALC = 140;
export const KEY_FILE = 144;
export const KEY_MAIL = 155;
export const KEY_PLAYPAUSE = 164;
export const KEY_BRIGHTNESSDOWN = 224;
export const BTN_MISC = 0x100;
export const BTN_0 = 0x100;
export const BTN_1 = 0x101;
export const BTN_MOUSE = 0x110;
export const BTN_JOYSTICK = 0x120;
export const BTN_DIGI = 0x140;
export const BTN_TOOL_PEN = 0x140;
export const BTN_TOOL_FINGER = 0x145;
export const BTN_TOUCH = 0x14a;
export const BTN_STYLUS = 0x14b;
export const KEY_OK = 0x160;
export const KEY_ALS_TOGGLE = 0x230;
export const BTN_TRIGGER_HAPPY = 0x2c0;
export const BTN_DPAD_UP = 0x220;
export const BTN_DPAD_RIGHT = 0x223;

export const BUS_I2C = 0x18;
