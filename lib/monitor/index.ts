import { liveMonitor } from './liveMonitor.js'

export default liveMonitor
export { liveMonitor }
export type {
  LevelsMessage,
  MonitoredCall,
  MonitorMessage,
  StateMessage,
  StreamLevels,
  WatchMessage
} from './messages.js'
