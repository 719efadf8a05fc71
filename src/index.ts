// The public library of tsmodprobe.

export { openSystem, systemError, describeErrno, errnoByName, errnoName, errnoText } from './system.ts';
export type { Clock, Log, LogLevel, LogRecord, Native, Roots, System, SystemOptions } from './system.ts';
export { FormatError, LimitError, ParseError, SystemError, UnsupportedError } from './errors.ts';
export { VERSION } from './version.ts';

export { openKmod } from './kmod/kmod.ts';
export type { Kmod, KmodOptions } from './kmod/kmod.ts';
export type {
  GoalResult, Outcome, ProbeFailure, ProbeGoal, ProbePlan, ProbeResult, ProbeStep, Reason, Source, StepResult,
} from './kmod/probe.ts';
export type { PlanOptions } from './kmod/plan.ts';
export type { ExecuteOptions } from './kmod/loader.ts';
export type { Match } from './kmod/lookup.ts';
export type { ModuleFile, ModuleSource } from './kmod/module-source.ts';
export { openModules } from './kmod/find-modules.ts';
export { openTree, openTreeDirectory } from './kmod/tree-source.ts';
export { fnmatch, moduleNameOfPath, normalizeAlias } from './kmod/alias.ts';
export { IndexFile } from './kmod/index-file.ts';
export type { IndexEntry } from './kmod/index-file.ts';
export { compressionOf, decompress } from './kmod/compression.ts';
export type { Compression } from './kmod/compression.ts';
export { goesWith } from './kmod/select.ts';
export type { MissingPart, NeedyDevice, NeedyMachine, SelectedFile, Selection, SelectReason, SelectRequest } from './kmod/select.ts';
export { openMachine, readRecording } from './machine/open-machine.ts';
export type { Machine, OpenMachineOptions } from './machine/open-machine.ts';
export { recordMachine } from './machine/record-machine.ts';
export { formatRecording, parseRecording } from './machine/recording.ts';
export type { RecordedEvent, Recording } from './machine/recording.ts';
export { firmwareRoots, readMachine, readSelection } from './kmod/select-reader.ts';
export type { SelectOptions } from './kmod/select-reader.ts';
export { LiveModules } from './kmod/live.ts';

export { parseUeventFile, parseUeventMessage } from './udev/uevent.ts';
export type { Uevent, UeventProperties } from './udev/uevent.ts';
export { enumerate } from './udev/enumerate.ts';
export type { SysDevice } from './udev/enumerate.ts';
export { openMonitor } from './udev/monitor.ts';
export type { MonitorOptions } from './udev/monitor.ts';
export type { Monitor } from './udev/uevent-socket.ts';
export { coldplug, planColdplug } from './udev/coldplug.ts';
export type { ColdplugPlan, ColdplugSummary } from './udev/coldplug.ts';
export type { Device, DeviceNumber } from './udev/device.ts';
export type { DeviceEvent, DeviceRule, RuleActions, RuleOperator } from './udev/rules/device-rule.ts';
export { startUdevd } from './udev/udevd.ts';
export type { Udevd, UdevdOptions } from './udev/udevd.ts';

export { parseRules } from './udev/rules/parse.ts';
export type { ParsedRules } from './udev/rules/parse.ts';
export type { ParseContext, ResolveNames } from './udev/rules/parse-context.ts';
export { loadRules, rulesSignature } from './udev/rules/rule-files.ts';
export type { LoadedRules, LoadRulesOptions } from './udev/rules/rule-files.ts';
export type { Format, LineEffect, Operator, Pattern, RuleFile, RuleLine, RuleProblem, RuleSet, Substitution, Token, TokenKey } from './udev/rules/rule.ts';

export { bootVm, runVm } from './vm/vm.ts';
export type { Vm, VmOptions, VmResult } from './vm/vm.ts';
