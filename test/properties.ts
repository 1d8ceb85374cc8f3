// fast-check with the same inputs every time: what fails, fails again. GPTLOOM_TEST_SEED=<n> tries others.
import fc from 'fast-check'

fc.configureGlobal({ seed: Number(process.env.GPTLOOM_TEST_SEED ?? 1) })
export default fc
