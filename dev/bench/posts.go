package bench

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"time"

	"go.temporal.io/sdk/client"

	"quartermaster/dev/stack"
	"quartermaster/internal/apikey"
	"quartermaster/internal/provision"
)

const (
	deafReaders   = 200 // streams that are never read
	streamsPerKey = 8   // what the API allows
)

// measurePosts measures how long the API takes to accept an order: next to a bare start of a workflow, and while many readers of the
// event stream do not read. The orders wait for an account, and each has come to rest before the next one is placed.
func measurePosts(ctx context.Context, s *servers, o Options) ([]Figure, error) {
	const marketplace = "posts"
	if err := s.Pool(ctx, marketplace, provision.DataExport); err != nil {
		return nil, err
	}
	var quiet, crowded, bare []time.Duration
	for block := range 2 {
		for i := range o.Posts / 2 {
			took, err := s.timeBareStart(ctx, fmt.Sprintf("bare-start-%d-%d", block, i))
			if err != nil {
				return nil, err
			}
			bare = append(bare, took)
			if took, err = s.timePost(ctx, marketplace, fmt.Sprintf("post-%d-%d", block, i)); err != nil {
				return nil, err
			}
			quiet = append(quiet, took)
		}
		closeAll, err := s.openDeafStreams(ctx, deafReaders)
		if err != nil {
			return nil, err
		}
		for i := range o.Posts / 2 {
			took, err := s.timePost(ctx, marketplace, fmt.Sprintf("crowded-%d-%d", block, i))
			if err != nil {
				closeAll()
				return nil, err
			}
			crowded = append(crowded, took)
		}
		closeAll()
	}
	return []Figure{{
		Name: "POST of an order, p50", Unit: "ms", Value: milliseconds(median(quiet)), Limit: milliseconds(median(bare)),
		LimitIs: "a bare ExecuteWorkflow", Target: ratioAtMost(1.3),
	}, {
		Name: fmt.Sprintf("POST of an order, p50, with %d streams that are never read", deafReaders), Unit: "ms",
		Value: milliseconds(median(crowded)), Limit: milliseconds(median(quiet)), LimitIs: "without them", Target: ratioAtMost(1.3),
	}}, nil
}

// timeBareStart starts a workflow that does nothing and returns how long the start took.
func (s *servers) timeBareStart(ctx context.Context, id string) (took time.Duration, err error) {
	began := time.Now()
	run, err := s.bareClient.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: bareQueue}, bareNothing)
	if err != nil {
		return 0, err
	}
	took = time.Since(began)
	return took, run.Get(ctx, nil)
}

// timePost places an order that must wait, and returns how long the API took, when the order waits.
func (s *servers) timePost(ctx context.Context, marketplace, id string) (took time.Duration, err error) {
	if took, err = timed(func() error { return s.place(ctx, s.Client, marketplace, id) }); err != nil {
		return 0, err
	}
	return took, s.await(ctx, `SELECT count(*) = 1 FROM orders WHERE id = $1 AND state = 'waiting_for_account'`, id)
}

// await waits until a query of the product's database returns true.
func (s *servers) await(ctx context.Context, query string, args ...any) error {
	for {
		var holds bool
		if err := s.product.GetContext(ctx, &holds, query, args...); err != nil || holds {
			return err
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// openDeafStreams opens streams of events that no one reads. Each key may have only some.
func (s *servers) openDeafStreams(ctx context.Context, n int) (closeAll func(), err error) {
	var open []net.Conn
	closeAll = func() {
		for _, c := range open {
			_ = c.Close()
		}
	}
	address, err := url.Parse(s.API)
	if err != nil {
		return nil, err
	}
	var key string
	for i := range n {
		if i%streamsPerKey == 0 {
			text, made := apikey.New(stack.Provider, fmt.Sprintf("reader %d", i), provision.RoleAdmin)
			if _, err := s.Store.APIKeys.Create(ctx, "benchmark", made); err != nil {
				closeAll()
				return nil, err
			}
			key = text
		}
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address.Host)
		if err != nil {
			closeAll()
			return nil, err
		}
		open = append(open, c)
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(4096) // a bound on what the reader's side takes unread; an error leaves a larger one
		}
		if _, err := fmt.Fprintf(c, "GET /v1/events/stream HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n",
			address.Host, key); err != nil {
			closeAll()
			return nil, err
		}
		// The first bytes of the answer: the stream is open.
		if _, err := c.Read(make([]byte, 16)); err != nil {
			closeAll()
			return nil, err
		}
	}
	return closeAll, nil
}
