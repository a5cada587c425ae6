export { beginListen, endListen } from './listens.js'
export { asTraced, beginRequest, endRequest } from './requests.js'
export { loadTracing, type Trace, type Tracing } from './Tracing.js'
