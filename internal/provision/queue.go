package provision

import "time"

// TaskQueue is what Temporal reports about one type of task and the workers that ask for it.
type TaskQueue struct {
	Type       string        // workflow or activity
	Pollers    int           // worker processes that asked for such tasks lately
	Backlog    int64         // tasks that wait for a worker, approximately
	BacklogAge time.Duration // how long the oldest of them has waited, approximately
}
