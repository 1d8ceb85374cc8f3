export type { Compared, Figure, Verdict } from './bootstrap.js'
export { evaluate } from './evaluate.js'
export type { AnswerFunction, EvaluateOptions, Evaluation } from './evaluate.js'
