package provision

import "time"

// StartedWorkflows are the workflows that were started before some time, as far as Temporal still keeps them.
type StartedWorkflows struct {
	OpenOrders   int        // open workflows of orders
	OpenOthers   int        // all other open workflows
	LastClosedAt *time.Time // when the last of the closed workflows closed; nil: none has closed
}
