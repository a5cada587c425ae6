// The load balancer of a cluster, in its own process, so that it takes no CPU from the simulator. It sends its address
// to its parent, which sends it the ports of the instances.
import { RoundRobin } from '../../example-app/cluster/RoundRobin.js'

const balancer = new RoundRobin()
process.on('message', (ports: number[]) => {
  balancer.ports.splice(0, balancer.ports.length, ...ports)
})
process.once('disconnect', () => process.exit())
process.send?.(await balancer.listen())
