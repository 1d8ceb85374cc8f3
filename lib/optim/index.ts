export { AdamW } from './adamw.js'
export type { AdamWOptions, StepOptions } from './adamw.js'
export { schedule, scheduleNames } from './schedule.js'
export type { Schedule, ScheduleOptions } from './schedule.js'
