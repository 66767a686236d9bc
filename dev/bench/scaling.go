package bench

import (
	"fmt"
	"math"
	"strings"

	"quartermaster/dev/stack"
)

// Costs are what an order costs, from which the size of an installation follows.
type Costs struct {
	CPU            map[string]float64 // milliseconds, by part
	Writes         float64            // transactions that write to our database
	TemporalWrites float64            // transactions that write to Temporal's databases
	Log            float64            // kB of PostgreSQL's log
	Calls          float64            // of AWS
	STSCalls       float64            // of them to STS, which count for our own account
	Tasks          float64            // workflow and activity tasks in Temporal
	Seconds        float64            // from POST to completed, with an AWS that takes its time; 0: not measured
}

// What one unit of each kind carries, for the number of units that are needed.
const (
	busyCore           = 0.6  // share of a core that is planned, so that peaks do not queue
	writesPerShard     = 150  // a second: a shard writes one transaction at a time, each of some milliseconds
	tasksPerPartition  = 300  // a second: a run with one partition did as many without a queue
	diskOfHistory      = 47.0 // kB in Temporal's databases for each order until retention removes it, measured over 10,000 orders
	stsQuota           = 600  // a second for an account and region: AWS's default
	secondsWhenUnknown = 10
)

// ordersPerSecond are the loads that a table of sizes is for.
var ordersPerSecond = []float64{1, 10, 100}

// Sizing returns a Markdown table of what an installation needs for several loads.
func (c Costs) Sizing() string {
	if c.Calls == 0 {
		return ""
	}
	seconds := c.Seconds
	if seconds == 0 {
		seconds = secondsWhenUnknown
	}
	var out strings.Builder
	out.WriteString("| | an order |")
	for _, load := range ordersPerSecond {
		fmt.Fprintf(&out, " %s orders/s |", number(load))
	}
	out.WriteString("\n|---|--:|" + strings.Repeat("--:|", len(ordersPerSecond)) + "\n")
	row := func(name, unit string, each float64, scale func(float64) float64) {
		fmt.Fprintf(&out, "| %s | %s |", name, strings.TrimSpace(number(each)+" "+unit))
		for _, load := range ordersPerSecond {
			fmt.Fprintf(&out, " %s |", number(scale(load)))
		}
		out.WriteString("\n")
	}
	for _, part := range []string{stack.PartTemporal, stack.PartPostgres, stack.PartWorker, stack.PartAPI} {
		each := c.CPU[part]
		row("cores, "+part, "ms", each, func(load float64) float64 { return roundUp(load * each / 1000 / busyCore) })
	}
	row("history shards", fmt.Sprintf("writes, %d a second each", writesPerShard), c.TemporalWrites, func(load float64) float64 {
		return math.Exp2(math.Ceil(math.Log2(math.Max(4, load*c.TemporalWrites/writesPerShard))))
	})
	row("partitions of the task queue", fmt.Sprintf("tasks, %d a second each", tasksPerPartition), c.Tasks, func(load float64) float64 {
		return math.Max(1, math.Ceil(load*c.Tasks/tasksPerPartition))
	})
	row("transactions/s in our database", "", c.Writes, func(load float64) float64 { return load * c.Writes })
	row("PostgreSQL's log, MB/s", "kB", c.Log, func(load float64) float64 { return load * c.Log / 1000 })
	row("Temporal's data, GB for 30 days of retention", "kB", diskOfHistory, func(load float64) float64 {
		return load * diskOfHistory * 30 * 86400 / 1e6
	})
	row("orders in progress at a time", "s", seconds, func(load float64) float64 { return load * seconds })
	row("AWS calls/s, spread over the accounts", "", c.Calls, func(load float64) float64 { return load * c.Calls })
	row(fmt.Sprintf("STS calls/s, %d allowed", stsQuota), "", c.STSCalls, func(load float64) float64 { return load * c.STSCalls })
	return out.String()
}

// roundUp rounds up to tenths below ten, and to whole numbers above.
func roundUp(v float64) float64 {
	if v < 10 {
		return math.Ceil(v*10) / 10
	}
	return math.Ceil(v)
}
