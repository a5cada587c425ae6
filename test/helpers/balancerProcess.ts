// The load balancer of a cluster, in a process of its own: what it takes is not the simulator's time. It tells its
// parent its address, and is told the ports of the instances.
import { RoundRobin } from '../../example-app/cluster/RoundRobin.js'

const balancer = new RoundRobin()
process.on('message', (ports: number[]) => {
  balancer.ports.splice(0, balancer.ports.length, ...ports)
})
process.once('disconnect', () => process.exit())
process.send?.(await balancer.listen())
