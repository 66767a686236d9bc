package provision

import "time"

// TaskQueue is what Temporal reports about one type of task and the workers that poll for it.
type TaskQueue struct {
	Type       string        // workflow or activity
	Pollers    int           // worker processes that polled for such tasks recently
	SeenAt     time.Time     // when one of them last began or ended a poll; zero: Temporal remembers none
	Backlog    int64         // approximate number of tasks that wait for a worker
	BacklogAge time.Duration // approximate time that the oldest of them has waited
}
