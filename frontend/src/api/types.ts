/** Short names for the schemas that pages speak of. */
import type { components } from './schema';

type Schemas = components['schemas'];

export type Agent = Schemas['Agent'];
export type InboxItem = Schemas['InboxItem'];
export type Lacking = Schemas['Lacking'];
export type Limits = Schemas['Limits'];
export type LostAttempt = Schemas['LostAttempt'];
export type Question = Schemas['Question'];
export type Run = Schemas['Run'];
export type Status = Schemas['Status'];
export type StuckReason = Schemas['StuckReason'];
export type System = Schemas['System'];
export type ToolSpec = Schemas['ToolSpec'];
export type UnreadableRun = Schemas['UnreadableRun'];
export type Worker = Schemas['Worker'];
