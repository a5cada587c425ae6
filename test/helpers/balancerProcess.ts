// The load balancer of a cluster. It runs in its own process, so that the simulator's process need not spend
// CPU on it. It sends its address to its parent process; the parent sends it the ports of the instances.
import { RoundRobin } from '../../example-app/cluster/RoundRobin.js'

const balancer = new RoundRobin()
process.on('message', (ports: number[]) => {
  balancer.ports.splice(0, balancer.ports.length, ...ports)
})
process.once('disconnect', () => process.exit())
process.send?.(await balancer.listen())
