package bench

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"quartermaster/dev/stack"
	"quartermaster/internal/awssim"
)

// awsLatency is how long AWS's services take to answer, in the order of what was seen in us-east-1.
var awsLatency = map[string]time.Duration{
	"iam": 150 * time.Millisecond, "account": 200 * time.Millisecond, "cur": 400 * time.Millisecond,
	"bcm-data-exports": 400 * time.Millisecond, "s3": 80 * time.Millisecond, "sts": 60 * time.Millisecond,
}

// awsTiming are the variables with which the stack makes a worker wait less for the simulated AWS than for the real one.
var awsTiming = []string{"QM_AWS_POLL_EVERY", "QM_AWS_VISIBLE_FOR", "QM_AWS_ABSENT_FOR", "QM_AWS_DENIED_FOR"}

// measureLatency runs one order at a time. First AWS answers at once, in turns with Bare8. Then the worker has the defaults of
// production and AWS takes its time; the limit is the longest chain of different calls that had to wait for each other.
func measureLatency(ctx context.Context, s *servers, o Options) (figures []Figure, err error) {
	const marketplace = "latency"
	if err := s.stock(ctx, marketplace, o.Alone+2*o.AloneInAWS+2); err != nil {
		return nil, err
	}
	var orders, bare []time.Duration
	for i := range o.Alone {
		took, err := timed(func() error { return s.runBare8(ctx, fmt.Sprintf("bare-alone-%d", i)) })
		if err != nil {
			return nil, err
		}
		bare = append(bare, took)
		took, err = timed(func() error { return s.runOrder(ctx, marketplace, fmt.Sprintf("alone-%d", i)) })
		if err != nil {
			return nil, err
		}
		orders = append(orders, took)
	}
	figures = append(figures, Figure{
		Name: "one order, AWS answers at once", Unit: "ms", Value: milliseconds(median(orders)), Limit: milliseconds(median(bare)),
		LimitIs: "Bare8", Target: ratioAtMost(2),
	})
	o.say("the worker gets the defaults of production")
	if err := s.restartWorker(ctx, marketplace, "warm-default", awsTiming...); err != nil {
		return nil, err
	}
	instant, err := s.alone(ctx, marketplace, "default", o.AloneInAWS)
	if err != nil {
		return nil, err
	}
	o.say("AWS takes its time")
	fast := s.slowAWS()
	slow, err := s.alone(ctx, marketplace, "aws", o.AloneInAWS)
	if err != nil {
		return nil, err
	}
	fast()
	if err := s.restartWorker(ctx, marketplace, "warm-again"); err != nil {
		return nil, err
	}
	s.costs.Seconds = slow.order.Seconds()
	return append(figures, Figure{
		Name: "one order, AWS answers at once, defaults of production", Unit: "s", Value: instant.order.Seconds(),
	}, Figure{
		Name: "one order, AWS takes its time, defaults of production", Unit: "s", Value: slow.order.Seconds(),
		Limit: slow.path.took().Seconds(), LimitIs: "its critical path", Target: ratioAtMost(1.25),
	}, Figure{
		Name: "critical path of an order", Unit: "s", Value: slow.path.took().Seconds(), Target: atMost(pathBefore.Seconds()),
		Detail: slow.path.String(),
	}), nil
}

// restartWorker starts the worker again with other variables, and runs an order, with which it fills its caches.
func (s *servers) restartWorker(ctx context.Context, marketplace, id string, env ...string) error {
	if err := s.RestartWith(ctx, stack.PartWorker, 0, env...); err != nil {
		return err
	}
	return s.runOrder(ctx, marketplace, id)
}

// slowAWS makes the simulated AWS take its time until fast is called.
func (s *servers) slowAWS() (fast func()) {
	var remove []func()
	for service, delay := range awsLatency {
		remove = append(remove, s.Sim.Inject(awssim.Fault{Service: service, Kind: awssim.Slow, Delay: delay}))
	}
	return func() {
		for _, f := range remove {
			f()
		}
	}
}

// pathBefore is how long the calls of an order took without any pauses when this benchmark was written.
const pathBefore = 7400 * time.Millisecond

// lonely is what orders took that ran one at a time.
type lonely struct {
	order time.Duration
	path  criticalPath
}

// alone runs n orders, one at a time, and returns the one in the middle.
func (s *servers) alone(ctx context.Context, marketplace, name string, n int) (lonely, error) {
	var all []lonely
	for i := range n {
		before := len(s.Sim.Requests())
		took, err := timed(func() error { return s.runOrder(ctx, marketplace, fmt.Sprintf("%s-%d", name, i)) })
		if err != nil {
			return lonely{}, err
		}
		all = append(all, lonely{took, longestPath(s.Sim.Requests()[before:])})
	}
	slices.SortFunc(all, func(a, b lonely) int { return cmp.Compare(a.order, b.order) })
	return all[len(all)/2], nil
}

// criticalPath is a chain of calls, each of which began after the one before had been answered.
type criticalPath []awssim.Request

func (p criticalPath) took() (total time.Duration) {
	for _, r := range p {
		total += awsLatency[r.Service]
	}
	return total
}

// String lists the calls of the path, with a number before those that follow each other.
func (p criticalPath) String() string {
	out := fmt.Sprintf("%d calls:", len(p))
	for i := 0; i < len(p); {
		same := 1
		for i+same < len(p) && p[i+same].Operation == p[i].Operation {
			same++
		}
		out += " "
		if same > 1 {
			out += fmt.Sprintf("%d × ", same)
		}
		out += p[i].Operation
		i += same
	}
	return out
}

// longestPath returns the chain of different calls of one order that takes longest. A call that repeats an earlier one counts nothing:
// it is a second look, which a faster order does not need.
func longestPath(requests []awssim.Request) criticalPath {
	type call struct{ service, operation, input string }
	seen := map[call]bool{}
	type end struct {
		at   time.Time
		took time.Duration
		path criticalPath
	}
	var ends []end // of the best path that ends with each call
	var longest end
	for _, r := range requests { // in the order in which they began
		key := call{r.Service, r.Operation, r.Input}
		var before end
		for _, e := range ends {
			if !e.at.After(r.Time) && e.took > before.took {
				before = e
			}
		}
		next := end{at: r.Time.Add(awsLatency[r.Service]), took: before.took, path: before.path}
		if !seen[key] {
			next.took += awsLatency[r.Service]
			next.path = append(slices.Clone(before.path), r)
		}
		seen[key] = true
		ends = append(ends, next)
		if next.took > longest.took {
			longest = next
		}
	}
	return longest.path
}

func timed(work func() error) (time.Duration, error) {
	began := time.Now()
	err := work()
	return time.Since(began), err
}
